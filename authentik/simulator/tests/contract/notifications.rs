//! Transports, rules, mappings and policies, and the test of a transport.

use reqwest::Method;
use serde_json::{Value, json};
use simulator::Config;
use standardwebhooks::Webhook;

use crate::shape;
use crate::support::{ADMIN, READER, Running, SECRET, Target, config, recording};

async fn start(target_url: &str) -> Running {
    let webhook_url = Some(target_url.to_owned());
    Running::start(Config { webhook_url, webhook_secret: Some(SECRET.into()), ..config() }).await
}

async fn test_transport(simulator: &Running, token: &str) -> (u16, String) {
    let transports = simulator.admin(Method::GET, "/api/v3/events/transports/", Value::Null).await;
    let pk = transports["results"][0]["pk"].as_str().unwrap().to_owned();
    let path = format!("/api/v3/events/transports/{pk}/test/");
    let response = simulator.request(Method::POST, &path, Some(token)).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_transport_test_has_the_recorded_body() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target.url).await;
    assert_eq!(test_transport(&simulator, ADMIN).await, (200, r#"{"messages":["204",""]}"#.to_owned()));
    let received = target.until(|received| received.len() == 1).await.remove(0);
    Webhook::new(SECRET).unwrap().verify(&received.body, &received.headers).unwrap();
    let recording = recording("webhooks/transport_test_button");
    let recorded_body = recording["body"].as_str().unwrap();
    let recorded: Value = serde_json::from_str(recorded_body).unwrap();
    shape::assert_same(&recorded, &received.json(), "body");
    assert_eq!(received.action(), "custom_notification_test");
    let text = std::str::from_utf8(&received.body).unwrap();
    assert_eq!(shape::members(text), shape::members(recorded_body));
    assert_eq!(received.json()["event"]["id"], received.header("webhook-id"));
}

#[tokio::test]
async fn a_failed_transport_test_responds_with_the_error_text_of_requests() {
    let target = Target::start(&[], 401).await;
    let simulator = start(&target.url).await;
    let refused = format!("\"401 Client Error: Unauthorized for url: {}\"", target.url);
    assert_eq!(test_transport(&simulator, ADMIN).await, (500, refused));
    simulator.control("faults", json!({"transport_url": "http://127.0.0.1:1/authentik/webhook"})).await;
    let (status, text) = test_transport(&simulator, ADMIN).await;
    assert!(status == 500 && text.contains("Failed to establish a new connection"), "{text}");
    // A failing expression is an unhandled exception, which `server_error_on_post_405` recorded.
    simulator.control("faults", json!({"mistakes": ["no_secret"]})).await;
    assert_eq!(test_transport(&simulator, ADMIN).await, (405, String::new()));
    assert_eq!(test_transport(&simulator, READER).await.0, 403);
}

#[tokio::test]
async fn only_an_administrator_may_read_the_webhook_setup() {
    let simulator = start("http://127.0.0.1:1/authentik/webhook").await;
    let paths = [
        "events/transports",
        "events/rules",
        "propertymappings/notification",
        "policies/bindings",
        "policies/event_matcher",
        "policies/expression",
        "providers/oauth2",
        "flows/bindings",
    ];
    for path in paths {
        let path = format!("/api/v3/{path}/");
        let page = simulator.admin(Method::GET, &path, Value::Null).await;
        assert!(page["results"].is_array() && page["pagination"]["next"] == 0, "{path}: {page}");
        let refused = simulator.request(Method::GET, &path, Some(READER)).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 403, "{path}");
    }
    let named = simulator.admin(Method::GET, "/api/v3/events/rules/?name=other", Value::Null).await;
    assert_eq!(named["results"], json!([]));
}

#[tokio::test]
async fn a_missing_permission_and_a_wrong_clock_show_in_responses() {
    let simulator = start("http://127.0.0.1:1/authentik/webhook").await;
    simulator.control("faults", json!({"not_viewable": ["event"], "clock_ahead": 86_400})).await;
    let get = async |path: &str| simulator.request(Method::GET, path, Some(READER)).send().await.unwrap();
    assert_eq!(get("/api/v3/events/events/").await.status().as_u16(), 403);
    let users = get("/api/v3/core/users/").await;
    assert_eq!(users.status().as_u16(), 200);
    let date = users.headers()["date"].to_str().unwrap().to_owned();
    simulator.control("faults", json!({"clock_ahead": 0})).await;
    assert_ne!(date[..16], get("/api/v3/core/users/").await.headers()["date"].to_str().unwrap()[..16]);
}

#[tokio::test]
async fn a_provider_without_a_signing_key_has_the_recorded_metadata() {
    let simulator = start("http://127.0.0.1:1/authentik/webhook").await;
    simulator.control("faults", json!({"no_signing_key": true})).await;
    let recorded = recording("oidc/no_signing_key_hs256");
    let base = "/application/o/authentik-events";
    assert_eq!(simulator.get(&format!("{base}/jwks/")).await, recorded["jwks"]);
    let discovered = simulator.get(&format!("{base}/.well-known/openid-configuration")).await;
    let algorithms = "id_token_signing_alg_values_supported";
    assert_eq!(discovered[algorithms], recorded["openid_configuration"][algorithms]);
}
