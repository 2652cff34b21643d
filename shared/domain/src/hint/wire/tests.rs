use serde_json::json;

use super::*;
use crate::hint::{ERASED_BODY, InternalHint};

fn delivery() -> DeliveryId {
    Uuid::from_u128(1).into()
}

fn read_json(body: &Value) -> Result<Parsed, Undecodable> {
    read(delivery(), Channel::Webhook, body.to_string().as_bytes())
}

fn hint(body: &Value) -> Hint {
    match read_json(body).unwrap() {
        Parsed::Hint(hint) => *hint,
        Parsed::Ignored(reason) => panic!("ignored: {reason:?}"),
    }
}

fn rich(event: &Value) -> Value {
    json!({"schema": "authentik.event.v1", "event": event})
}

fn of_user_8(action: &str) -> Value {
    rich(&json!({"action": action, "actor": {"pk": 8}, "client_ip": "192.0.2.7", "context": {}}))
}

#[test]
fn a_change_of_a_user_gives_a_hint_about_that_user() {
    for action in ["model_created", "model_updated", "model_deleted"] {
        let model = json!({"app": "authentik_core", "model_name": "user", "pk": 66, "name": "Ada"});
        let hint = hint(&rich(&json!({"action": action, "actor": {"pk": 3}, "model": model})));
        assert_eq!(hint.target, HintTarget::Entity(Entity::User(66)));
        assert_eq!(hint.created.is_some(), action == "model_created");
        assert_eq!(hint.cause.trigger, Trigger { action: action.into(), actor: Some(Actor { pk: 3 }) });
        assert_eq!(hint.fact, None);
    }
}

#[test]
fn a_change_of_a_group_gives_a_hint_about_that_group_even_without_dashes_in_its_key() {
    let model =
        json!({"app": "authentik_core", "model_name": "group", "pk": "988c253ba93548f785c797f6173fbfdd"});
    let hint = hint(&rich(&json!({"action": "model_updated", "model": model})));
    let id = "988c253b-a935-48f7-85c7-97f6173fbfdd".parse().unwrap();
    assert_eq!(hint.target, HintTarget::Entity(Entity::Group(id)));
}

#[test]
fn an_action_of_a_user_gives_a_hint_about_the_actor_with_the_fact() {
    let client_ip = || Some("192.0.2.7".to_owned());
    for (action, fact) in [
        ("user_write", None),
        ("login", Some(Fact::LoggedIn { client_ip: client_ip(), auth_method: None })),
        ("login_failed", Some(Fact::LoginFailed { client_ip: client_ip() })),
        ("logout", Some(Fact::LoggedOut { client_ip: client_ip() })),
        ("password_set", Some(Fact::PasswordChanged)),
        ("suspicious_request", Some(Fact::SuspiciousRequest { client_ip: client_ip() })),
        ("source_linked", Some(Fact::LinkedSource { client_ip: client_ip(), source: None })),
        ("impersonation_started", Some(Fact::ImpersonationStarted { target: None })),
        ("impersonation_ended", Some(Fact::ImpersonationEnded { target: None })),
    ] {
        let hint = hint(&of_user_8(action));
        assert_eq!((hint.target, hint.fact), (HintTarget::Entity(Entity::User(8)), fact), "{action}");
    }
}

#[test]
fn an_impersonation_belongs_to_the_impersonator_and_names_the_target_by_key_only() {
    let actor = json!({"pk": 3, "on_behalf_of": {"pk": 8, "username": "grace"}});
    let hint = hint(&rich(&json!({"action": "impersonation_started", "actor": actor})));
    assert_eq!(hint.target, HintTarget::Entity(Entity::User(3)));
    assert_eq!(hint.fact, Some(Fact::ImpersonationStarted { target: Some(Actor { pk: 8 }) }));
}

#[test]
fn ignored_deliveries_have_a_reason() {
    let other_model = json!({"app": "authentik_core", "model_name": "application", "pk": "x"});
    let unknown_name = json!({"action": "login_failed", "actor": {"pk": null, "username": "typed"}});
    let anonymous = json!({"action": "logout", "actor": {"pk": 1, "is_anonymous": true}});
    for (body, reason) in [
        (of_user_8("custom_notification_test"), IgnoreReason::UnknownAction),
        (rich(&json!({"action": "model_updated", "model": other_model})), IgnoreReason::OtherModel),
        (rich(&unknown_name), IgnoreReason::NoUser),
        (rich(&anonymous), IgnoreReason::NoUser),
        (rich(&Value::Null), IgnoreReason::UnknownBody),
        (json!({"body": "model_updated: …", "severity": "notice"}), IgnoreReason::UnknownBody),
        (json!({"schema": "authentik.event.v9"}), IgnoreReason::UnknownBody),
        (ERASED_BODY.parse().unwrap(), IgnoreReason::Erased),
        (json!({"event_type": "login", "pk": 1}), IgnoreReason::UnknownAction),
        (json!([1, 2]), IgnoreReason::UnknownBody),
    ] {
        assert_eq!(read_json(&body).unwrap(), Parsed::Ignored(reason), "{body}");
    }
}

#[test]
fn a_minimal_body_gives_a_hint_without_facts() {
    let hint = hint(&json!({"event_type": "model_created", "pk": 1}));
    assert_eq!(hint.target, HintTarget::Entity(Entity::User(1)));
    assert_eq!((hint.created, hint.fact), (None, None));
}

#[test]
fn an_internal_hint_parses_back() {
    let parse = |hint_body: InternalHint| hint(&serde_json::to_value(hint_body).unwrap());
    let requested = parse(InternalHint::about_user(42, "resync", Some(1)));
    assert_eq!(requested.target, HintTarget::Entity(Entity::User(42)));
    assert_eq!(requested.cause.trigger, Trigger { action: "resync".into(), actor: Some(Actor { pk: 1 }) });
    let uuid = Uuid::from_u128(7);
    assert_eq!(parse(InternalHint::about_uuid(uuid, "first-request")).target, HintTarget::UserWithUuid(uuid));
    let named = parse(InternalHint::about_username("ada", "first-request"));
    assert_eq!(named.target, HintTarget::UserNamed("ada".to_owned()));
}

#[test]
fn a_body_that_violates_its_schema_is_undecodable() {
    let text_as_key = json!({"app": "authentik_core", "model_name": "user", "pk": "abc"});
    for body in [
        rich(&json!({"action": "model_updated", "model": text_as_key})),
        rich(&json!({"actor": {"pk": 1}})),
        json!({"event_type": "model_created", "pk": "one"}),
        json!({"schema": "hint.v1", "reason": "resync"}),
    ] {
        assert!(read_json(&body).is_err(), "{body}");
    }
    assert!(read(delivery(), Channel::Webhook, b"{").is_err());
}
