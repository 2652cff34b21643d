//! Checks NATS as the projector reaches it: connection, streams, storage, clock and `sync_interval`.

use runtime::clock as local_clock;
use runtime::nats::Nats;
use runtime::provision::{self, Inspected};
use serde_json::Value;

use super::finding::Verdict;
use super::http::{HttpResult, client_without_token, send};
use super::verdicts::clock;
use super::verdicts::nats::{Usage, server_usage, storage, stream_usages, streams, sync_interval};
use super::{Examination, Settings};
use crate::Config;
use crate::connect::connect;

/// Returns the connection if all streams exist.
pub(super) async fn examine(
    examination: &mut Examination<'_>,
    config: &Config,
    settings: &Settings,
) -> Option<Nats> {
    let monitored = monitoring(settings).await;
    let nats = connected(examination, config).await;
    let inspected = match &nats {
        Some(nats) => {
            provision::inspect(nats, config.nats_replicas).await.map_err(|error| format!("{error:#}"))
        }
        None => Err("NATS does not answer".to_owned()),
    };
    match &inspected {
        Ok(inspected) => {
            examination.record("streams", streams(inspected));
            let mut usages = stream_usages(inspected);
            usages.extend(account_usage(nats.as_ref()).await);
            usages.extend(varz(&monitored).filter_map(server_usage));
            examination.record("storage", storage(&usages));
            examination.record("nats-clock", clock::skew("NATS", clock_ahead(inspected)));
        }
        Err(problem) => {
            if nats.is_some() {
                let fix = "enable JetStream in the server and for the account of NATS_USER, and give that user the \
                           rights in nats/users.conf";
                examination.record("streams", Verdict::fault(problem, fix));
            } else {
                examination.skip(&["streams"], problem);
            }
            examination.skip(&["storage", "nats-clock"], "JetStream does not answer");
        }
    }
    let inspected = inspected.unwrap_or_default();
    examination.record("sync-interval", sync_interval(&monitored, n_servers(&inspected)));
    nats.filter(|_| inspected.iter().all(|stream| stream.info.is_some()))
}

async fn connected(examination: &mut Examination<'_>, config: &Config) -> Option<Nats> {
    match connect(config).await {
        Ok(nats) => {
            let version = nats.client.server_info().version;
            examination.record("nats", Verdict::ok(format!("nats-server {version}")));
            Some(nats)
        }
        Err(error) => {
            let fix = "check NATS_URL, NATS_USER and NATS_PASSWORD, and that nats-server runs";
            examination.record("nats", Verdict::fault(format!("{error:#}"), fix));
            None
        }
    }
}

/// The response of each server's monitoring endpoint `/varz`.
async fn monitoring(settings: &Settings) -> Vec<HttpResult> {
    let Ok(client) = client_without_token() else { return vec![] };
    let mut monitored = vec![];
    for url in settings.monitors() {
        monitored.push(send(client.get(format!("{url}/varz"))).await);
    }
    monitored
}

fn varz(monitored: &[HttpResult]) -> impl Iterator<Item = &Value> {
    monitored.iter().filter_map(|response| Some(&response.as_ref().ok()?.body))
}

/// Storage of the account; nothing if it has no limit, or the user has no right to query it.
async fn account_usage(nats: Option<&Nats>) -> Option<Usage> {
    let account = nats?.jetstream.query_account().await.ok()?;
    let limit = u64::try_from(account.limits.max_storage?).ok()?;
    Some(Usage { of: "the account's storage".to_owned(), used: account.storage, limit })
}

/// How many seconds the clock of a stream leader is ahead, by the time in its stream info.
fn clock_ahead(inspected: &[Inspected]) -> Option<i64> {
    let there = inspected.iter().find_map(|stream| stream.info.as_ref()?["ts"].as_str()?.parse().ok());
    let there: domain::timestamp::Timestamp = there?;
    Some(there.unix_seconds() - local_clock::now().unix_seconds())
}

/// Number of servers with a copy of the streams: the leader and its replicas.
fn n_servers(inspected: &[Inspected]) -> usize {
    let followers =
        inspected.iter().filter_map(|stream| stream.info.as_ref()?["cluster"]["replicas"].as_array());
    1 + followers.map(Vec::len).max().unwrap_or_default()
}
