//! The objects that the blueprint makes, as an administrator reads them, and what can be wrong with them.
//!
//! They cannot be changed over REST: a fault stands for what an administrator did to them.

use serde::{Deserialize, Serialize};
use uuid::{Uuid, uuid};

use crate::json::{Json, object};
use crate::seed;
use crate::world::World;

/// The transport.
pub const TRANSPORT: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e7a01");
const BODY_MAPPING: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e7a02");
const HEADERS_MAPPING: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e7a03");
const RULE: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e7a04");
/// The first matcher; the others and the bindings follow.
const FIRST_MATCHER: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e8000");
const FIRST_BINDING: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e9000");

const BODY: &str = include_str!("../../mappings/body.py");
const HEADERS: &str = include_str!("../../mappings/headers.py");

const USER: Option<&str> = Some("authentik_core.user");
/// Name, action and model of each matcher.
const MATCHERS: [(&str, Option<&str>, Option<&str>); 14] = [
    ("model_created", Some("model_created"), USER),
    ("model_updated", Some("model_updated"), USER),
    ("model_deleted", Some("model_deleted"), USER),
    ("group", None, Some("authentik_core.group")),
    ("login", Some("login"), None),
    ("login_failed", Some("login_failed"), None),
    ("logout", Some("logout"), None),
    ("user_write", Some("user_write"), None),
    ("password_set", Some("password_set"), None),
    ("authorize_application", Some("authorize_application"), None),
    ("source_linked", Some("source_linked"), None),
    ("suspicious_request", Some("suspicious_request"), None),
    ("impersonation_started", Some("impersonation_started"), None),
    ("impersonation_ended", Some("impersonation_ended"), None),
];

/// What is wrong with the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mistake {
    /// There is no transport.
    NoTransport,
    /// The transport sends to each member.
    NotSendOnce,
    /// The transport has no mapping for the body.
    NoBodyMapping,
    /// The body's expression is another.
    OtherBodyMapping,
    /// The transport has no mapping for the headers.
    NoHeadersMapping,
    /// The headers' expression is another.
    OtherHeadersMapping,
    /// There is no rule.
    NoRule,
    /// The rule sends by another transport.
    RuleWithoutTransport,
    /// The rule notifies nobody: authentik's own rules are like that.
    RuleWithoutGroup,
    /// One matcher is not bound.
    LoginNotBound,
    /// One matcher is bound, and switched off.
    LogoutSwitchedOff,
    /// Signs with another secret than is configured.
    OtherSecret,
    /// The server process, which sends tests, has no secret.
    NoSecret,
}

impl World {
    fn has(&self, mistake: Mistake) -> bool {
        self.faults().mistakes.contains(&mistake)
    }
}

/// Where webhooks are said to go.
pub fn webhook_url(world: &World) -> String {
    let elsewhere = world.faults().transport_url;
    elsewhere.or_else(|| world.config.webhook_url.clone()).unwrap_or_default()
}

/// `/events/transports/`.
pub fn transports(world: &World) -> Vec<Json> {
    if world.has(Mistake::NoTransport) {
        return vec![];
    }
    let mapping = |pk: Uuid, missing| if world.has(missing) { Json::Null } else { pk.to_string().into() };
    let transport = object([
        ("pk", TRANSPORT.to_string().into()),
        ("name", seed::READER.into()),
        ("mode", "webhook".into()),
        ("mode_verbose", "Generic Webhook".into()),
        ("webhook_url", webhook_url(world).into()),
        ("webhook_mapping_body", mapping(BODY_MAPPING, Mistake::NoBodyMapping)),
        ("webhook_mapping_headers", mapping(HEADERS_MAPPING, Mistake::NoHeadersMapping)),
        ("email_subject_prefix", "authentik Notification: ".into()),
        ("email_template", "email/event_notification.html".into()),
        ("send_once", (!world.has(Mistake::NotSendOnce)).into()),
    ]);
    vec![transport]
}

/// `/propertymappings/notification/`.
pub fn mappings(world: &World) -> Vec<Json> {
    let mapping = |pk: Uuid, name: &str, expression: &str, other| {
        let expression = if world.has(other) { "return {}" } else { expression };
        object([
            ("pk", pk.to_string().into()),
            ("name", name.into()),
            // A blueprint's text block ends in a line end, a form's text field does not.
            ("expression", expression.trim_end().into()),
        ])
    };
    vec![
        mapping(BODY_MAPPING, "authentik-events body", BODY, Mistake::OtherBodyMapping),
        mapping(HEADERS_MAPPING, "authentik-events headers", HEADERS, Mistake::OtherHeadersMapping),
    ]
}

/// `/events/rules/`.
pub fn rules(world: &World) -> Vec<Json> {
    if world.has(Mistake::NoRule) {
        return vec![];
    }
    let group = world.read(|store| store.group_named(seed::READER).map(|group| group.pk.to_string()));
    let group = group.filter(|_| !world.has(Mistake::RuleWithoutGroup));
    let transports = if world.has(Mistake::RuleWithoutTransport) { vec![] } else { vec![TRANSPORT] };
    let rule = object([
        ("pk", RULE.to_string().into()),
        ("name", seed::READER.into()),
        ("transports", Json::Array(transports.iter().map(|pk| pk.to_string().into()).collect())),
        ("severity", "notice".into()),
        ("destination_group", group.map_or(Json::Null, Json::from)),
        ("destination_event_user", false.into()),
    ]);
    vec![rule]
}

/// `/policies/event_matcher/`.
pub fn matchers() -> Vec<Json> {
    let text = |text: Option<&str>| text.map_or(Json::Null, Json::from);
    let matchers = MATCHERS.iter().enumerate().map(|(index, (name, action, model))| {
        object([
            ("pk", nth(FIRST_MATCHER, index).into()),
            ("name", format!("{} {name}", seed::READER).into()),
            ("execution_logging", false.into()),
            ("component", "ak-policy-event-matcher-form".into()),
            ("action", text(*action)),
            ("client_ip", Json::Null),
            ("app", Json::Null),
            ("model", text(*model)),
        ])
    });
    matchers.collect()
}

/// `/policies/bindings/`: what decides which events the rule sends.
pub fn bindings(world: &World) -> Vec<Json> {
    let bound = MATCHERS
        .iter()
        .enumerate()
        .filter(|(_, (name, ..))| *name != "login" || !world.has(Mistake::LoginNotBound));
    let bindings = bound.map(|(index, (name, ..))| {
        let is_off = *name == "logout" && world.has(Mistake::LogoutSwitchedOff);
        object([
            ("pk", nth(FIRST_BINDING, index).into()),
            ("policy", nth(FIRST_MATCHER, index).into()),
            ("group", Json::Null),
            ("user", Json::Null),
            ("target", RULE.to_string().into()),
            ("negate", false.into()),
            ("enabled", (!is_off).into()),
            ("order", i64::try_from(index).unwrap_or_default().into()),
            ("timeout", 30.into()),
            ("failure_result", false.into()),
        ])
    });
    bindings.collect()
}

fn nth(first: Uuid, index: usize) -> String {
    Uuid::from_u128(first.as_u128() + index as u128).to_string()
}
