//! The objects that the blueprint creates, as an administrator reads them over REST.
//!
//! They are read-only. A [`Mistake`] stands for what an administrator changed in them.

use uuid::{Uuid, uuid};

use crate::faults::Mistake;
use crate::json::{Json, object};
use crate::seed;
use crate::world::World;

/// The key of the transport.
pub const TRANSPORT: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e7a01");
const BODY_MAPPING: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e7a02");
const HEADERS_MAPPING: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e7a03");
const RULE: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e7a04");
/// The key of the first matcher; the others are numbered from it, and so are the bindings.
const FIRST_MATCHER: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e8000");
const FIRST_BINDING: Uuid = uuid!("3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e9000");

const BODY: &str = include_str!("../../mappings/body.py");
const HEADERS: &str = include_str!("../../mappings/headers.py");

const USER: Option<&str> = Some("authentik_core.user");
/// The name, the action and the model of each matcher.
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

fn has(world: &World, mistake: Mistake) -> bool {
    world.faults().mistakes.contains(&mistake)
}

/// The URL of the transport.
pub fn webhook_url(world: &World) -> String {
    world.faults().transport_url.or_else(|| world.config.webhook_url.clone()).unwrap_or_default()
}

/// `/events/transports/`.
pub fn transports(world: &World) -> Vec<Json> {
    if has(world, Mistake::NoTransport) {
        return vec![];
    }
    let mapping = |pk: Uuid, missing| if has(world, missing) { Json::Null } else { pk.to_string().into() };
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
        ("send_once", (!has(world, Mistake::NotSendOnce)).into()),
    ]);
    vec![transport]
}

/// `/propertymappings/notification/`.
pub fn mappings(world: &World) -> Vec<Json> {
    let mapping = |pk: Uuid, name: &str, expression: &str, other| {
        let expression = if has(world, other) { "return {}" } else { expression };
        object([
            ("pk", pk.to_string().into()),
            ("name", name.into()),
            // A text block of a blueprint ends in a line end; a text field of a form does not.
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
    if has(world, Mistake::NoRule) {
        return vec![];
    }
    let group = world.read(|store| store.group_named(seed::READER).map(|group| group.pk.to_string()));
    let group = group.filter(|_| !has(world, Mistake::RuleWithoutGroup));
    let transports = if has(world, Mistake::RuleWithoutTransport) { vec![] } else { vec![TRANSPORT] };
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

/// `/policies/bindings/`: they decide which events the rule sends.
pub fn bindings(world: &World) -> Vec<Json> {
    let bound = MATCHERS
        .iter()
        .enumerate()
        .filter(|(_, (name, ..))| *name != "login" || !has(world, Mistake::LoginNotBound));
    let bindings = bound.map(|(index, (name, ..))| {
        let is_disabled = *name == "logout" && has(world, Mistake::LogoutSwitchedOff);
        object([
            ("pk", nth(FIRST_BINDING, index).into()),
            ("policy", nth(FIRST_MATCHER, index).into()),
            ("group", Json::Null),
            ("user", Json::Null),
            ("target", RULE.to_string().into()),
            ("negate", false.into()),
            ("enabled", (!is_disabled).into()),
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
