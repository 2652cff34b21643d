//! Makes the checks that need an administrator's token: how authentik sends webhooks, with one test webhook, and the sign-out.

use anyhow::Context;
use async_nats::jetstream::consumer::{DeliverPolicy, pull::OrderedConfig};
use futures_util::TryStreamExt;
use runtime::nats::Nats;
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::messages;

use super::finding::Verdict;
use super::http::AuthentikApi;
use super::reader::AuthentikState;
use super::sign_out;
use super::verdicts::delivery::{Arrival, delivery};
use super::verdicts::matchers::matchers;
use super::verdicts::token;
use super::verdicts::webhook::{self, Mapping, Rule, Transport};
use super::{Examination, Settings};
use crate::Config;

const BODY: &str = include_str!("../../../authentik/mappings/body.py");
const HEADERS: &str = include_str!("../../../authentik/mappings/headers.py");

const NEEDS_TOKEN: &str = "needs an administrator's token: set --admin-token-file";

/// The action of the event in authentik's test webhook.
const TEST_ACTION: &str = "custom_notification_test";

/// The checks that need an administrator's token, in order.
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
    authentik: AuthentikState,
) {
    if !authentik.is_reachable {
        examination.skip(&["admin-token"], "authentik does not answer");
        sign_out::skip(examination, "authentik does not answer");
        return examination.skip(&CHECKS, "authentik does not answer");
    }
    let Some(admin) = administrator(examination, config, settings).await else {
        sign_out::skip(examination, NEEDS_TOKEN);
        return examination.skip(&CHECKS, NEEDS_TOKEN);
    };
    sign_out::examine(examination, &admin, settings).await;
    let Some((transport, is_sound)) = transport(examination, &admin, settings).await else {
        return examination.skip(&CHECKS[1..], "there is no transport to check");
    };
    rule(examination, &admin, &transport).await;
    if is_sound && authentik.clocks_agree {
        let verdict = test(&admin, &transport, nats).await;
        examination.record("transport-test", verdict);
    } else {
        examination.skip(&["transport-test"], "fix the findings about transport, mappings and clock first");
    }
}

/// authentik's API with the administrator's token; nothing without a token that authentik accepts.
async fn administrator(
    examination: &mut Examination<'_>,
    config: &Config,
    settings: &Settings,
) -> Option<AuthentikApi> {
    const FIX: &str =
        "create a token with the intent API for an administrator in authentik, and revoke it afterwards";
    let api = settings.admin_token().and_then(|token| {
        let Some(token) = token else { return Ok(None) };
        let url = config.authentik_url.as_deref().context("AUTHENTIK_URL is not set")?;
        AuthentikApi::new(url, &token).map(Some)
    });
    let admin = match api {
        Ok(Some(admin)) => admin,
        Ok(None) => {
            examination.skip(&["admin-token"], "not set: --admin-token-file");
            return None;
        }
        Err(error) => {
            examination.record("admin-token", Verdict::fault(format!("{error:#}"), FIX));
            return None;
        }
    };
    let me = admin.get("/core/users/me/").await;
    let verdict = token::accepted_of_administrator("DOCTOR_ADMIN_TOKEN", FIX, &me);
    examination.record("admin-token", verdict).then_some(admin)
}

/// The transport, and whether it is sound enough for a test webhook.
async fn transport(
    examination: &mut Examination<'_>,
    admin: &AuthentikApi,
    settings: &Settings,
) -> Option<(Transport, bool)> {
    let transports = list(admin, &format!("/events/transports/?name={}", webhook::NAME)).await;
    let transport = match transports.and_then(webhook::transport) {
        Ok(transport) => transport,
        Err(verdict) => {
            examination.record("transport", verdict);
            return None;
        }
    };
    examination.record("transport", Verdict::ok(webhook::NAME));
    let wanted = settings.webhook_url.as_deref().filter(|url| !url.is_empty());
    let mut is_sound = examination.record("transport-url", webhook::url(&transport, wanted));
    examination.record("send-once", webhook::send_once(&transport));
    match list::<Mapping>(admin, "/propertymappings/notification/?ordering=name").await {
        Ok(mappings) => {
            let parts = [
                ("body-mapping", "body", transport.webhook_mapping_body, BODY),
                ("headers-mapping", "headers", transport.webhook_mapping_headers, HEADERS),
            ];
            for (check, part, chosen, ours) in parts {
                is_sound &= examination.record(check, webhook::mapping(part, chosen, &mappings, ours));
            }
        }
        Err(verdict) => {
            examination.record("body-mapping", verdict.clone());
            examination.record("headers-mapping", verdict);
        }
    }
    Some((transport, is_sound))
}

async fn rule(examination: &mut Examination<'_>, admin: &AuthentikApi, transport: &Transport) {
    let rules = list(admin, &format!("/events/rules/?name={}", webhook::NAME)).await;
    let rule = match rules.and_then(|rules| webhook::rule(rules, transport)) {
        Ok(rule) => rule,
        Err(verdict) => {
            examination.record("rule", verdict);
            return examination.skip(&CHECKS[6..8], "there is no rule that uses the transport");
        }
    };
    examination.record("rule", Verdict::ok(webhook::NAME));
    let verdict = group(admin, &rule).await;
    examination.record("rule-group", verdict);
    let verdict = bound_policies(admin, &rule).await.unwrap_or_else(|verdict| verdict);
    examination.record("matchers", verdict);
}

async fn group(admin: &AuthentikApi, rule: &Rule) -> Verdict {
    let Some(group) = rule.destination_group else { return webhook::rule_group(None) };
    match admin.get(&format!("/core/groups/{group}/?include_users=false")).await {
        Ok(response) if response.body["users"].is_array() => {
            webhook::rule_group(response.body["users"].as_array().map(Vec::len))
        }
        Ok(response) => Verdict::skipped(format!("cannot read the rule's group: status {}", response.status)),
        Err(problem) => Verdict::skipped(format!("cannot read the rule's group: {problem}")),
    }
}

async fn bound_policies(admin: &AuthentikApi, rule: &Rule) -> Result<Verdict, Verdict> {
    let bindings = list(admin, &format!("/policies/bindings/?target={}", rule.pk)).await?;
    let event_matchers = list(admin, "/policies/event_matcher/?ordering=name").await?;
    let expressions = list(admin, "/policies/expression/?ordering=name").await?;
    Ok(matchers(&bindings, &event_matchers, &expressions))
}

/// All objects of a list, or the verdict that skips the check.
async fn list<T: DeserializeOwned>(admin: &AuthentikApi, path: &str) -> Result<Vec<T>, Verdict> {
    let objects = admin.list(path).await;
    objects.map_err(|problem| Verdict::skipped(format!("the administrator's request failed: {problem}")))
}

/// Makes authentik send its test webhook, and searches the inbox for it.
async fn test(admin: &AuthentikApi, transport: &Transport, nats: Option<&Nats>) -> Verdict {
    let before = match nats {
        Some(nats) => last_delivery(nats).await,
        None => None,
    };
    let test = admin.post_empty(&format!("/events/transports/{}/test/", transport.pk)).await;
    // The ingress answers after it has stored the webhook, so searching once is enough.
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

/// Whether a test webhook is in the inbox after this sequence.
async fn arrival(nats: &Nats, before: u64) -> anyhow::Result<Arrival> {
    let deliver_policy = DeliverPolicy::ByStartSequence { start_sequence: before + 1 };
    let config = OrderedConfig { deliver_policy, ..OrderedConfig::default() };
    let mut deliveries = messages::all(nats, &nats.namespace.inbox_stream(), config).await?;
    while let Some(delivery) = deliveries.try_next().await? {
        let body: Value = serde_json::from_slice(&delivery.message.payload).unwrap_or_default();
        if body["event"]["action"] == TEST_ACTION {
            return Ok(Arrival::Stored);
        }
    }
    Ok(Arrival::Missing)
}
