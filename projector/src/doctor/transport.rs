//! How authentik sends webhooks, as an administrator sees it, and one webhook sent through all of it.

use anyhow::Context;
use async_nats::jetstream::consumer::{DeliverPolicy, pull::OrderedConfig};
use futures_util::TryStreamExt;
use runtime::nats::Nats;
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::messages;

use super::ask::Authentik;
use super::finding::Verdict;
use super::judge::delivery::{Arrival, delivery};
use super::judge::matchers::matchers;
use super::judge::token;
use super::judge::webhook::{self, Mapping, Rule, Transport};
use super::reader::Reached;
use super::{Examination, Settings};
use crate::Config;

const BODY: &str = include_str!("../../../authentik/mappings/body.py");
const HEADERS: &str = include_str!("../../../authentik/mappings/headers.py");

/// What authentik's test of a transport is recorded as.
const TEST_ACTION: &str = "custom_notification_test";

/// What is looked at with an administrator's token, in this order.
const CHECKS: [&str; 9] = [
    "transport",
    "transport-url",
    "send-once",
    "body-mapping",
    "headers-mapping",
    "rule",
    "rule-group",
    "matchers",
    "transport-test",
];

pub(super) async fn examine(
    examination: &mut Examination<'_>,
    config: &Config,
    settings: &Settings,
    nats: Option<&Nats>,
    reached: Reached,
) {
    if !reached.authentik {
        examination.skip(&["admin-token"], "authentik does not answer");
        return examination.skip(&CHECKS, "authentik does not answer");
    }
    let Some(admin) = administrator(examination, config, settings).await else {
        return examination.skip(&CHECKS, "needs the token of an administrator: --admin-token-file");
    };
    let Some((transport, is_sound)) = transport(examination, &admin, settings).await else {
        return examination.skip(&CHECKS[1..], "there is no transport to look at");
    };
    rule(examination, &admin, &transport).await;
    if is_sound && reached.clocks_agree {
        let verdict = test(&admin, &transport, nats).await;
        examination.note("transport-test", verdict);
    } else {
        examination.skip(&["transport-test"], "mend what was found above first");
    }
}

/// Nothing where there is no token, or authentik does not know it.
async fn administrator(
    examination: &mut Examination<'_>,
    config: &Config,
    settings: &Settings,
) -> Option<Authentik> {
    const FIX: &str =
        "make a token with the intent API for an administrator in authentik, and revoke it afterwards";
    let made = settings.admin_token().and_then(|token| {
        let Some(token) = token else { return Ok(None) };
        let url = config.authentik_url.as_deref().context("AUTHENTIK_URL is not set")?;
        Authentik::new(url, &token).map(Some)
    });
    let admin = match made {
        Ok(Some(admin)) => admin,
        Ok(None) => {
            examination.skip(&["admin-token"], "none is given: --admin-token-file");
            return None;
        }
        Err(error) => {
            examination.note("admin-token", Verdict::fault(format!("{error:#}"), FIX));
            return None;
        }
    };
    let me = admin.get("/core/users/me/").await;
    examination.note("admin-token", token::administrators("DOCTOR_ADMIN_TOKEN", FIX, &me)).then_some(admin)
}

/// The transport, and whether a test through it makes sense.
async fn transport(
    examination: &mut Examination<'_>,
    admin: &Authentik,
    settings: &Settings,
) -> Option<(Transport, bool)> {
    let found = match listed(admin, &format!("/events/transports/?name={}", webhook::NAME)).await {
        Ok(transports) => webhook::transport(transports),
        Err(verdict) => Err(verdict),
    };
    let transport = match found {
        Ok(transport) => transport,
        Err(verdict) => {
            examination.note("transport", verdict);
            return None;
        }
    };
    examination.note("transport", Verdict::well(webhook::NAME));
    let wanted = settings.webhook_url.as_deref().filter(|url| !url.is_empty());
    let mut is_sound = examination.note("transport-url", webhook::url(&transport, wanted));
    examination.note("send-once", webhook::send_once(&transport));
    match listed::<Mapping>(admin, "/propertymappings/notification/?ordering=name").await {
        Ok(mappings) => {
            let parts = [
                ("body-mapping", "body", transport.webhook_mapping_body, BODY),
                ("headers-mapping", "headers", transport.webhook_mapping_headers, HEADERS),
            ];
            for (check, part, chosen, ours) in parts {
                is_sound &= examination.note(check, webhook::mapping(part, chosen, &mappings, ours));
            }
        }
        Err(verdict) => {
            examination.note("body-mapping", verdict.clone());
            examination.note("headers-mapping", verdict);
        }
    }
    Some((transport, is_sound))
}

async fn rule(examination: &mut Examination<'_>, admin: &Authentik, transport: &Transport) {
    let found = match listed(admin, &format!("/events/rules/?name={}", webhook::NAME)).await {
        Ok(rules) => webhook::rule(rules, transport),
        Err(verdict) => Err(verdict),
    };
    let rule = match found {
        Ok(rule) => rule,
        Err(verdict) => {
            examination.note("rule", verdict);
            return examination.skip(&CHECKS[6..8], "there is no rule that sends by the transport");
        }
    };
    examination.note("rule", Verdict::well(webhook::NAME));
    let verdict = group(admin, &rule).await;
    examination.note("rule-group", verdict);
    let verdict = bound(admin, &rule).await.unwrap_or_else(|verdict| verdict);
    examination.note("matchers", verdict);
}

async fn group(admin: &Authentik, rule: &Rule) -> Verdict {
    let Some(group) = rule.destination_group else { return webhook::rule_group(None) };
    match admin.get(&format!("/core/groups/{group}/?include_users=false")).await {
        Ok(answer) if answer.body["users"].is_array() => {
            webhook::rule_group(answer.body["users"].as_array().map(Vec::len))
        }
        Ok(answer) => Verdict::skipped(format!("the group is answered with status {}", answer.status)),
        Err(problem) => Verdict::skipped(format!("the group is not answered: {problem}")),
    }
}

async fn bound(admin: &Authentik, rule: &Rule) -> Result<Verdict, Verdict> {
    let bindings = listed(admin, &format!("/policies/bindings/?target={}", rule.pk)).await?;
    let event_matchers = listed(admin, "/policies/event_matcher/?ordering=name").await?;
    let expressions = listed(admin, "/policies/expression/?ordering=name").await?;
    Ok(matchers(&bindings, &event_matchers, &expressions))
}

/// All objects of a list, or why they cannot be looked at.
async fn listed<T: DeserializeOwned>(admin: &Authentik, path: &str) -> Result<Vec<T>, Verdict> {
    let listed = admin.all(path).await;
    listed
        .map_err(|problem| Verdict::skipped(format!("the administrator's token is answered with {problem}")))
}

/// Has authentik send its test, and looks for it in the inbox.
async fn test(admin: &Authentik, transport: &Transport, nats: Option<&Nats>) -> Verdict {
    let before = match nats {
        Some(nats) => last_delivery(nats).await,
        None => None,
    };
    let test = admin.post_nothing(&format!("/events/transports/{}/test/", transport.pk)).await;
    // The ingress answers when it is stored, so one look is enough.
    let arrival = match (nats, before) {
        (Some(nats), Some(before)) => arrival(nats, before).await.unwrap_or(Arrival::Unknown),
        _ => Arrival::Unknown,
    };
    delivery(&test, &arrival)
}

async fn last_delivery(nats: &Nats) -> Option<u64> {
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.ok()?;
    Some(inbox.cached_info().state.last_sequence)
}

/// Whether a test came into the inbox after this sequence.
async fn arrival(nats: &Nats, before: u64) -> anyhow::Result<Arrival> {
    let deliver_policy = DeliverPolicy::ByStartSequence { start_sequence: before + 1 };
    let config = OrderedConfig { deliver_policy, ..OrderedConfig::default() };
    let mut deliveries = messages::all(nats, &nats.namespace.inbox_stream(), config).await?;
    while let Some(delivery) = deliveries.try_next().await? {
        let body: Value = serde_json::from_slice(&delivery.message.payload).unwrap_or_default();
        if body["event"]["action"] == TEST_ACTION {
            return Ok(Arrival::Seen);
        }
    }
    Ok(Arrival::Missed)
}
