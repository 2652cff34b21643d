use serde_json::json;

use super::*;
use crate::hint::{ERASED_BODY, OwnHint};

fn delivery() -> DeliveryId {
    Uuid::from_u128(1).into()
}

fn read_json(body: &Value) -> Result<Reading, Undecodable> {
    read(delivery(), Channel::Webhook, body.to_string().as_bytes())
}

fn hint(body: &Value) -> Hint {
    match read_json(body).unwrap() {
        Reading::Look(hint) => *hint,
        Reading::Nothing(reason) => panic!("nothing to look at: {reason:?}"),
    }
}

fn rich(event: &Value) -> Value {
    json!({"schema": "authentik.event.v1", "event": event})
}

fn of_user_8(action: &str) -> Value {
    rich(&json!({"action": action, "actor": {"pk": 8}, "client_ip": "192.0.2.7", "context": {}}))
}

#[test]
fn a_change_of_a_user_looks_at_that_user() {
    for action in ["model_created", "model_updated", "model_deleted"] {
        let model = json!({"app": "authentik_core", "model_name": "user", "pk": 66, "name": "Ada"});
        let hint = hint(&rich(&json!({"action": action, "actor": {"pk": 3}, "model": model})));
        assert_eq!(hint.about, About::Entity(Entity::User(66)));
        assert_eq!(hint.created.is_some(), action == "model_created");
        assert_eq!(hint.cause.trigger, Trigger { action: action.into(), actor: Some(Actor { pk: 3 }) });
        assert_eq!(hint.fact, None);
    }
}

#[test]
fn a_change_of_a_group_looks_at_that_group_though_its_key_has_no_dashes() {
    let model =
        json!({"app": "authentik_core", "model_name": "group", "pk": "988c253ba93548f785c797f6173fbfdd"});
    let hint = hint(&rich(&json!({"action": "model_updated", "model": model})));
    let id = "988c253b-a935-48f7-85c7-97f6173fbfdd".parse().unwrap();
    assert_eq!(hint.about, About::Entity(Entity::Group(id)));
}

#[test]
fn an_action_of_a_user_looks_at_the_actor_and_carries_the_fact() {
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
        assert_eq!((hint.about, hint.fact), (About::Entity(Entity::User(8)), fact), "{action}");
    }
}

#[test]
fn an_impersonation_is_the_impersonators_and_names_the_target_by_key_alone() {
    let actor = json!({"pk": 3, "on_behalf_of": {"pk": 8, "username": "grace"}});
    let hint = hint(&rich(&json!({"action": "impersonation_started", "actor": actor})));
    assert_eq!(hint.about, About::Entity(Entity::User(3)));
    assert_eq!(hint.fact, Some(Fact::ImpersonationStarted { target: Some(Actor { pk: 8 }) }));
}

#[test]
fn what_is_not_recorded_says_why() {
    let other_model = json!({"app": "authentik_core", "model_name": "application", "pk": "x"});
    let nobody = json!({"action": "login_failed", "actor": {"pk": null, "username": "typed"}});
    let anonymous = json!({"action": "logout", "actor": {"pk": 1, "is_anonymous": true}});
    for (body, reason) in [
        (of_user_8("custom_notification_test"), Reason::UnknownAction),
        (rich(&json!({"action": "model_updated", "model": other_model})), Reason::OtherModel),
        (rich(&nobody), Reason::NoUser),
        (rich(&anonymous), Reason::NoUser),
        (rich(&Value::Null), Reason::UnknownBody),
        (json!({"body": "model_updated: …", "severity": "notice"}), Reason::UnknownBody),
        (json!({"schema": "authentik.event.v9"}), Reason::UnknownBody),
        (ERASED_BODY.parse().unwrap(), Reason::Erased),
        (json!({"event_type": "login", "pk": 1}), Reason::UnknownAction),
        (json!([1, 2]), Reason::UnknownBody),
    ] {
        assert_eq!(read_json(&body).unwrap(), Reading::Nothing(reason), "{body}");
    }
}

#[test]
fn the_samples_minimal_body_only_makes_us_look() {
    let hint = hint(&json!({"event_type": "model_created", "pk": 1}));
    assert_eq!(hint.about, About::Entity(Entity::User(1)));
    assert_eq!((hint.created, hint.fact), (None, None));
}

#[test]
fn a_hint_of_our_own_reads_back() {
    let read = |own: OwnHint| hint(&serde_json::to_value(own).unwrap());
    let asked_for = read(OwnHint::about_user(42, "resync", Some(1)));
    assert_eq!(asked_for.about, About::Entity(Entity::User(42)));
    assert_eq!(asked_for.cause.trigger, Trigger { action: "resync".into(), actor: Some(Actor { pk: 1 }) });
    let uuid = Uuid::from_u128(7);
    assert_eq!(read(OwnHint::about_uuid(uuid, "first-request")).about, About::UserWithUuid(uuid));
    let named = read(OwnHint::about_username("ada", "first-request"));
    assert_eq!(named.about, About::UserNamed("ada".to_owned()));
}

#[test]
fn a_body_that_breaks_its_schema_is_undecodable() {
    let text_for_key = json!({"app": "authentik_core", "model_name": "user", "pk": "abc"});
    for body in [
        rich(&json!({"action": "model_updated", "model": text_for_key})),
        rich(&json!({"actor": {"pk": 1}})),
        json!({"event_type": "model_created", "pk": "one"}),
        json!({"schema": "hint.v1", "reason": "resync"}),
    ] {
        assert!(read_json(&body).is_err(), "{body}");
    }
    assert!(read(delivery(), Channel::Webhook, b"{").is_err());
}
