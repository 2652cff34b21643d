//! Repeats the recorded requests to the REST API, and compares the responses.

use reqwest::Method;
use serde_json::{Value, json};

use crate::shape;
use crate::support::{ADMIN, READER, Running, config, recorded_text, recording};

/// Repeats the request of a recording and compares everything except values. `path` replaces the recorded
/// path if the simulator uses other keys.
async fn compare(simulator: &Running, name: &str, path: Option<&str>, token: Option<&str>, body: Value) {
    let recording = recording(&format!("rest/{name}"));
    let (method, recorded_path) = recording["request"].as_str().unwrap().split_once(' ').unwrap();
    let method: Method = method.parse().unwrap();
    let mut request = simulator.request(method, path.unwrap_or(recorded_path), token);
    if !body.is_null() {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    assert_eq!(u64::from(response.status().as_u16()), recording["status"].as_u64().unwrap(), "{name}");
    for (header, value) in recording["headers"].as_object().unwrap() {
        let actual = response.headers().get(header).unwrap_or_else(|| panic!("{name}: {header} is missing"));
        if !["date", "content-length", "x-authentik-id"].contains(&header.as_str()) {
            assert_eq!(actual.to_str().unwrap(), value, "{name}: {header}");
        }
    }
    assert_eq!(
        response.headers().contains_key("allow"),
        recording["headers"].get("allow").is_some(),
        "{name}"
    );
    let text = response.text().await.unwrap();
    if recording["body"].is_null() {
        assert!(serde_json::from_str::<Value>(&text).is_err(), "{name}: not JSON");
        assert_eq!(text.is_empty(), recording["body_text"] == "", "{name}");
    } else {
        let actual: Value = serde_json::from_str(&text).unwrap();
        shape::assert_same(&recording["body"], &actual, name);
        if recording["status"].as_u64() >= Some(400) {
            assert_eq!(actual, recording["body"], "{name}");
        }
    }
}

#[tokio::test]
async fn users_and_groups_have_the_recorded_shape() {
    let simulator = Running::start(config()).await;
    let external = json!({"username": "enrolled", "name": "En Rolled", "type": "external"});
    simulator.admin(Method::POST, "/api/v3/core/users/", external).await;
    for (name, path) in [
        ("user", None),
        ("user_inactive", Some("/api/v3/core/users/10/")),
        ("user_service_account", None),
        ("user_without_groups_and_roles", None),
        ("user_external_self_registered", None),
        ("users_page1", None),
        ("users_page2", None),
        ("group", None),
        ("group_without_users", None),
        ("groups", None),
        ("me", None),
        ("version", None),
    ] {
        compare(&simulator, name, path, Some(READER), Value::Null).await;
    }
}

#[tokio::test]
async fn errors_equal_the_recorded_ones() {
    let simulator = Running::start(config()).await;
    for name in [
        "user_404",
        "user_404_not_a_number",
        "users_page_past_end_404",
        "group_404",
        "unknown_route_404_html",
    ] {
        compare(&simulator, name, None, Some(READER), Value::Null).await;
    }
    compare(&simulator, "no_token_403", None, None, Value::Null).await;
    compare(&simulator, "bad_token_403", None, Some("nonsense"), Value::Null).await;
    let patch = json!({"name": "x"});
    compare(&simulator, "write_forbidden_403", None, Some(READER), patch).await;
    let taken = json!({"username": "grace"});
    compare(&simulator, "validation_error_400", None, Some(ADMIN), taken).await;
    simulator.control("faults", json!({"rest_status": 403})).await;
    compare(&simulator, "no_permission_403", None, Some(READER), Value::Null).await;
    simulator.control("faults", json!({"rest_status": 405})).await;
    compare(&simulator, "server_error_on_post_405", None, Some(ADMIN), json!({})).await;
}

#[tokio::test]
async fn events_have_the_recorded_shape() {
    let simulator = Running::start(config()).await;
    let body = json!({"name": "Grace Hopper"});
    simulator.admin(Method::PATCH, "/api/v3/core/users/8/", body.clone()).await;
    simulator.admin(Method::PATCH, "/api/v3/core/users/8/", body).await;
    for name in ["events_one_subject", "events_user_model"] {
        compare(&simulator, name, None, Some(READER), Value::Null).await;
    }
    let newest = simulator.get("/api/v3/events/events/").await;
    let pk = newest["results"][0]["pk"].as_str().unwrap();
    let one = simulator.get(&format!("/api/v3/events/events/{pk}/")).await;
    assert_eq!(one, newest["results"][0]);
}

#[tokio::test]
async fn a_missing_trailing_slash_gives_a_page_instead_of_a_redirect() {
    let simulator = Running::start(config()).await;
    let response = simulator.request(Method::GET, "/api/v3/core/users", Some(READER)).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 404);
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
}

#[tokio::test]
async fn responses_have_the_recorded_member_order() {
    let simulator = Running::start(config()).await;
    for (name, path) in [
        ("user_inactive", "/api/v3/core/users/10/"),
        (
            "group_without_users",
            "/api/v3/core/groups/1ca5cc4b-c6b5-4128-838f-ca18ffa6d060/?include_users=false",
        ),
        ("version", "/api/v3/admin/version/"),
    ] {
        let response = simulator.request(Method::GET, path, Some(READER)).send().await.unwrap();
        let actual = response.text().await.unwrap();
        let recorded = recorded_text(&format!("rest/{name}"));
        let (_, recorded) = recorded.split_once("\"body\": ").unwrap();
        let (recorded, _) = recorded.split_once("\"body_text\"").unwrap();
        assert_eq!(shape::members(&actual), shape::members(recorded), "{name}");
    }
}
