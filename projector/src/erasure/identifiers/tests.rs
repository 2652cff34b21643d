use std::collections::BTreeMap;

use serde_json::json;
use testkit::recordings;

use super::*;

fn grace() -> User {
    User {
        uuid: "8c68b6b6-9a66-4e8d-9359-10d7286dcf2d".parse().unwrap(),
        uid: "f00d".repeat(16),
        username: "grace".into(),
        email: "grace@lab.invalid".into(),
        attributes: BTreeMap::from([("badge".into(), json!({"numbers": ["N-2301"]}))]),
        ..User::partial(8, "Grace Höpper".into())
    }
}

fn identifiers() -> Identifiers {
    let mut identifiers = Identifiers::of_key(8);
    identifiers.add(&grace());
    identifiers
}

fn are_in(body: &Value) -> bool {
    // authentik writes ASCII and escapes everything else.
    let ascii: String = body.to_string().chars().map(escaped).collect();
    identifiers().are_in([], ascii.as_bytes())
}

/// The tests use characters of the Basic Multilingual Plane only, so one escape each is enough.
fn escaped(c: char) -> String {
    if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }
}

fn recorded(name: &str) -> Vec<u8> {
    recordings::webhook(name).body.into_bytes()
}

#[test]
fn recorded_webhooks_about_by_or_on_behalf_of_a_user_mention_the_user() {
    for (name, pk) in [
        ("login", 8),
        ("login_failed_known_user", 8),
        ("impersonation_started", 8),
        ("user_write_settings", 8),
        ("user_created_enrollment", 68),
        ("user_updated_name", 66),
        ("user_deactivated", 66),
        ("user_group_set_m2m", 66),
        ("user_deleted", 66),
        // The default body of authentik mentions the user in prose.
        ("no_mapping_default_body", 8),
    ] {
        assert!(Identifiers::of_key(pk).are_in([], &recorded(name)), "{name}");
    }
    for name in [
        "user_created",
        "user_deleted",
        "login_failed_unknown_user",
        "group_created",
        "user_created_enrollment",
    ] {
        assert!(!identifiers().are_in([], &recorded(name)), "{name}");
    }
}

#[test]
fn every_recorded_webhook_of_an_actor_mentions_the_actor() {
    let mut n_actors = 0;
    for name in recordings::names("webhooks") {
        let recording = recordings::json(&format!("webhooks/{name}.json"));
        let Some(body) = recording["body"].as_str() else { continue };
        let json: Value = serde_json::from_str(body).unwrap();
        if let Some(pk) = json["event"]["actor"]["pk"].as_i64() {
            assert!(Identifiers::of_key(pk).are_in([], body.as_bytes()), "{name}");
            assert!(!Identifiers::of_key(4711).are_in([], body.as_bytes()), "{name}");
            n_actors += 1;
        }
    }
    assert!(n_actors > 20, "{n_actors}");
}

#[test]
fn the_key_of_another_user_or_of_another_object_is_no_mention() {
    for body in [
        json!({"event": {"actor": {"pk": 3, "username": "akadmin"}}}),
        json!({"event": {"model": {"app": "x", "model_name": "application", "pk": 8}}}),
        json!({"event": {"context": {"stage": {"pk": 8}, "http_request": {"path": "/api/v3/core/users/80/"}}}}),
        json!({"schema": "hint.v1", "user": 9, "asked_by": 1}),
        json!({"event_type": "model_created", "pk": 88}),
    ] {
        assert!(!are_in(&body), "{body}");
    }
}

#[test]
fn hints_and_the_bodies_of_the_sample_mention_their_subject_and_the_requesting_user() {
    for body in [
        json!({"schema": "hint.v1", "user": 8}),
        json!({"schema": "hint.v1", "user": 9, "asked_by": 8}),
        json!({"schema": "hint.v1", "user_uuid": grace().uuid}),
        json!({"schema": "hint.v1", "username": grace().username}),
        json!({"event_type": "model_created", "pk": 8}),
        json!({"event_type": "model_created", "pk": "8"}),
        json!({"event": {"model": {"model_name": "user", "pk": 8}}}),
        json!({"event": {"actor": {"pk": 3, "authenticated_as": {"pk": 8}}}}),
        json!({"event": {"context": {"http_request": {"path": "/api/v3/core/users/8/set_password/"}}}}),
    ] {
        assert!(are_in(&body), "{body}");
    }
}

#[test]
fn a_users_texts_are_found_in_any_place_and_any_spelling() {
    for text in [
        "grace",
        "GRACE",
        "Grace@Lab.Invalid",
        "Grace Höpper",
        "8c68b6b6-9a66-4e8d-9359-10d7286dcf2d",
        "8c68b6b69a664e8d935910d7286dcf2d",
        "8C68B6B69A664E8D935910D7286DCF2D",
        "N-2301",
        "mail to <grace@lab.invalid> failed",
        "a friend of Grace Höpper's",
        "{'username': 'grace'}",
    ] {
        assert!(are_in(&json!({"event": {"context": {"args": [{"typed": text}]}}})), "{text}");
    }
    assert!(are_in(&json!({"grace@lab.invalid": true})));
    assert!(are_in(&json!({"uid": grace().uid})));
    assert!(!are_in(&json!({"grace": true})), "the name of a JSON member can be an ordinary word");
}

#[test]
fn a_part_of_another_name_or_a_plain_word_inside_a_text_is_no_mention() {
    for text in ["gracement", "disgrace@lab.invalid", "the grace period", "N-23010", "", "graceful 8"] {
        assert!(!are_in(&json!({"context": {"text": text}})), "{text}");
    }
}

#[test]
fn a_username_that_equals_a_fixed_word_is_not_mentioned_by_it() {
    let mut identifiers = Identifiers::of_key(77);
    for username in ["notice", "user", "POST", "login", "authentik_core"] {
        identifiers.add(&User { username: username.into(), ..User::partial(77, String::new()) });
    }
    for name in ["user_created", "login", "group_created"] {
        let body = String::from_utf8(recorded(name)).unwrap();
        assert!(!identifiers.are_in([], body.as_bytes()), "{name}");
    }
    assert!(identifiers.are_in([], br#"{"event": {"actor": {"pk": null, "username": "POST"}}}"#));
}

#[test]
fn headers_and_bodies_that_are_not_json_are_searched_as_text() {
    assert!(identifiers().are_in([], b"<html>Dear Grace, your"));
    assert!(identifiers().are_in([], b"{\"username\": \"grace"));
    assert!(!identifiers().are_in([], b"<html>gracement"));
    let reason = ("Dead-Letter-Reason", "invalid type: string \"grace\", expected i64");
    assert!(identifiers().are_in([("Content-Type", "text/html"), reason], b"{}"));
    let mut identifiers = Identifiers::of_key(8);
    identifiers.add(&User { username: "webhook".into(), ..User::partial(8, "application/json".into()) });
    assert!(!identifiers.are_in([("Content-Type", "application/json"), ("Channel", "webhook")], b"{}"));
}

#[test]
fn a_number_or_short_word_of_an_attribute_is_not_searched_inside_texts() {
    let mut identifiers = Identifiers::of_key(77);
    let attributes = [("floor", "2"), ("locale", "en-US"), ("since", "2026"), ("client", "2.34.2")];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), json!(value)));
    identifiers.add(&User { attributes: attributes.into(), ..User::partial(77, String::new()) });
    for name in recordings::names("webhooks") {
        let recording = recordings::json(&format!("webhooks/{name}.json"));
        let Some(body) = recording["body"].as_str() else { continue };
        assert!(!identifiers.are_in([("webhook-timestamp", "1795337575")], body.as_bytes()), "{name}");
    }
}

#[test]
fn a_text_shared_with_another_user_identifies_neither() {
    let mut identifiers = identifiers();
    let other = User {
        username: "Grace".into(),
        email: "other@lab.invalid".into(),
        group_names: BTreeMap::from([(Uuid::from_u128(1), "n-2301".into())]),
        ..User::partial(9, "Grace Höpper".into())
    };
    identifiers.remove_shared_with(&other);
    for (text, is_mention) in
        [("grace", false), ("Grace Höpper", false), ("N-2301", false), ("grace@lab.invalid", true)]
    {
        assert_eq!(identifiers.are_in([], json!([text]).to_string().as_bytes()), is_mention, "{text}");
    }
    assert!(identifiers.are_in([], &recorded("login")), "the primary key is not shared");
}

#[test]
fn empty_fields_of_a_partially_recorded_user_add_no_text() {
    let mut identifiers = Identifiers::of_key(8);
    identifiers.add(&User::partial(8, String::new()));
    assert_eq!(identifiers, Identifiers::of_key(8));
}
