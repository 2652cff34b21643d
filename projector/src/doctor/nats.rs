//! NATS as the projector reaches it: streams, room, clock, and what an acknowledgement means.

use runtime::clock as here;
use runtime::nats::Nats;
use runtime::provision::{self, Inspected};
use serde_json::Value;

use super::ask::{Asked, anonymous, ask};
use super::finding::Verdict;
use super::judge::clock;
use super::judge::nats::{Room, room_of_server, rooms_of_streams, storage, streams, sync};
use super::{Examination, Settings};
use crate::Config;
use crate::operate::cli;

/// The connection, where there is one and the streams are there.
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
            examination.note("streams", streams(inspected));
            let mut rooms = rooms_of_streams(inspected);
            rooms.extend(room_of_account(nats.as_ref()).await);
            rooms.extend(varz(&monitored).filter_map(room_of_server));
            examination.note("storage", storage(&rooms));
            examination.note("nats-clock", clock::skew("NATS", ahead(inspected)));
        }
        Err(problem) => {
            if nats.is_some() {
                let fix = "switch JetStream on, for the account of NATS_USER too, and give that user the rights of nats/users.conf";
                examination.note("streams", Verdict::fault(problem, fix));
            } else {
                examination.skip(&["streams"], problem);
            }
            examination.skip(&["storage", "nats-clock"], "JetStream does not answer");
        }
    }
    let inspected = inspected.unwrap_or_default();
    examination.note("sync-interval", sync(&monitored, n_nodes(&inspected)));
    nats.filter(|_| inspected.iter().all(|stream| stream.info.is_some()))
}

async fn connected(examination: &mut Examination<'_>, config: &Config) -> Option<Nats> {
    match cli::connect(config).await {
        Ok(nats) => {
            let version = nats.client.server_info().version;
            examination.note("nats", Verdict::well(format!("nats-server {version}")));
            Some(nats)
        }
        Err(error) => {
            let fix = "check NATS_URL, NATS_USER and NATS_PASSWORD, and that nats-server runs";
            examination.note("nats", Verdict::fault(format!("{error:#}"), fix));
            None
        }
    }
}

/// What the monitoring of each server says of it.
async fn monitoring(settings: &Settings) -> Vec<Asked> {
    let Ok(client) = anonymous() else { return vec![] };
    let mut monitored = vec![];
    for url in settings.monitors() {
        monitored.push(ask(client.get(format!("{url}/varz"))).await);
    }
    monitored
}

fn varz(monitored: &[Asked]) -> impl Iterator<Item = &Value> {
    monitored.iter().filter_map(|answer| Some(&answer.as_ref().ok()?.body))
}

/// Nothing where the account has no limit, or this user may not ask.
async fn room_of_account(nats: Option<&Nats>) -> Option<Room> {
    let account = nats?.jetstream.query_account().await.ok()?;
    let limit = u64::try_from(account.limits.max_storage?).ok()?;
    Some(Room { of: "the account's storage".to_owned(), used: account.storage, limit })
}

/// The leader of a stream writes its time into what it says of it.
fn ahead(inspected: &[Inspected]) -> Option<i64> {
    let there = inspected.iter().find_map(|stream| stream.info.as_ref()?["ts"].as_str()?.parse().ok());
    let there: domain::timestamp::Timestamp = there?;
    Some(there.unix_seconds() - here::now().unix_seconds())
}

/// How many servers keep the events.
fn n_nodes(inspected: &[Inspected]) -> usize {
    let followers =
        inspected.iter().filter_map(|stream| stream.info.as_ref()?["cluster"]["replicas"].as_array());
    1 + followers.map(Vec::len).max().unwrap_or_default()
}
