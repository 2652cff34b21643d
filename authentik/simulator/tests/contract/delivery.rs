//! How webhooks are sent.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use simulator::Config;
use standardwebhooks::Webhook;

use crate::oidc::{Browser, example};
use crate::shape;
use crate::support::{Received, Running, SECRET, Target, config, recording};

async fn start(target: &Target, config: Config) -> Running {
    Running::start(Config {
        webhook_url: Some(target.url.clone()),
        webhook_secret: Some(SECRET.into()),
        ..config
    })
    .await
}

fn ids(received: &[Received]) -> BTreeSet<String> {
    received.iter().map(|webhook| webhook.header("webhook-id").to_owned()).collect()
}

/// Compares the members of the webhook for `action` with a recording. Returns the body.
fn has_the_recorded_members(received: &[Received], action: &str, name: &str) -> String {
    let webhook = received.iter().find(|webhook| webhook.action() == action).expect(action);
    let recording = recording(&format!("webhooks/{name}"));
    let text = String::from_utf8(webhook.body.clone()).unwrap();
    assert_eq!(shape::members(&text), shape::members(recording["body"].as_str().unwrap()), "{name}");
    text
}

#[tokio::test]
async fn a_webhook_has_the_recorded_headers_and_body() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, config()).await;
    let body = json!({"username": "ada-2", "name": "Ada Löve🚀"});
    simulator.admin(Method::POST, "/api/v3/core/users/", body).await;
    let received = target.until(|received| received.len() == 2).await;
    let created = received.iter().find(|webhook| webhook.action() == "model_created").unwrap();
    let recording = recording("webhooks/user_created");
    for header in recording["headers"].as_array().unwrap() {
        let name = header[0].as_str().unwrap();
        assert!(!created.header(name).is_empty(), "{name} is missing");
        if ["User-Agent", "Accept", "Accept-Encoding", "Connection", "Content-Type"].contains(&name) {
            assert_eq!(created.header(name), header[1].as_str().unwrap(), "{name}");
        }
    }
    Webhook::new(SECRET).unwrap().verify(&created.body, &created.headers).unwrap();
    let recorded: Value = serde_json::from_str(recording["body"].as_str().unwrap()).unwrap();
    shape::assert_same(&recorded, &created.json(), "body");
    let text = std::str::from_utf8(&created.body).unwrap();
    assert!(text.is_ascii());
    assert_eq!(shape::members(text), shape::members(recording["body"].as_str().unwrap()));
    assert_eq!(created.json()["event"]["id"], created.header("webhook-id"));
}

#[tokio::test]
async fn each_attempt_sends_the_same_body_under_the_same_id() {
    let target = Target::start(&[500, 429, 400], 204).await;
    let simulator = start(&target, config()).await;
    simulator.control("emit", json!({"action": "login", "user_pk": 8})).await;
    let received = target.until(|received| received.len() == 4).await;
    assert_eq!(ids(&received).len(), 1);
    assert!(received.iter().all(|webhook| webhook.body == received[0].body));
    for webhook in &received {
        Webhook::new(SECRET).unwrap().verify(&webhook.body, &webhook.headers).unwrap();
    }
    simulator.until(|state| state["deliveries"]["delivered"] == 1).await;
}

#[tokio::test]
async fn a_webhook_is_rejected_after_six_failed_attempts() {
    let target = Target::start(&[500; 6], 204).await;
    let simulator = start(&target, Config { retry_scale: 0.0001, ..config() }).await;
    simulator.control("emit", json!({"action": "login", "user_pk": 8})).await;
    simulator.until(|state| state["deliveries"]["rejected"] == 1).await;
    assert_eq!(target.received().len(), 6);
}

#[tokio::test]
async fn a_redirect_without_a_location_counts_as_delivered() {
    let target = Target::start(&[], 302).await;
    let simulator = start(&target, config()).await;
    simulator.control("emit", json!({"action": "logout", "user_pk": 8})).await;
    simulator.until(|state| state["deliveries"]["delivered"] == 1).await;
}

#[tokio::test]
async fn webhooks_arrive_out_of_order() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, config()).await;
    simulator.control("faults", json!({"hold_webhooks": true})).await;
    for number in 0..20 {
        simulator.create_user(&format!("burst-{number}")).await;
    }
    assert_eq!(simulator.state().await["deliveries"]["pending"], 40);
    assert!(target.received().is_empty(), "a held webhook was sent");
    simulator.control("faults", json!({"hold_webhooks": false})).await;
    let received = target.until(|received| received.len() == 40).await;
    let created: Vec<String> =
        received.iter().map(|webhook| webhook.json()["event"]["created"].to_string()).collect();
    assert!(!created.is_sorted(), "all 40 webhooks arrived in the order of their events");
    assert_eq!(ids(&received).len(), 40);
}

#[tokio::test]
async fn events_of_other_models_and_actions_are_not_sent() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, config()).await;
    let brand = json!({"model": {"app": "authentik_brands", "model_name": "brand", "pk": "1", "name": "x"}});
    simulator.control("emit", json!({"action": "model_updated", "user_pk": 3, "context": brand})).await;
    simulator.control("emit", json!({"action": "secret_view", "user_pk": 3})).await;
    simulator.control("emit", json!({"action": "source_linked", "user_pk": 8})).await;
    let state = simulator.until(|state| state["deliveries"]["delivered"] == 1).await;
    assert_eq!(state["n_events"], 3);
    assert_eq!(target.received()[0].action(), "source_linked");
}

#[tokio::test]
async fn webhooks_can_be_dropped_and_duplicated() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, config()).await;
    simulator.control("faults", json!({"drop_webhooks": 1.0})).await;
    simulator.control("emit", json!({"action": "login", "user_pk": 8})).await;
    simulator.until(|state| state["deliveries"]["dropped"] == 1).await;
    assert!(target.received().is_empty());
    simulator.control("faults", json!({"drop_webhooks": 0.0, "duplicate_webhooks": 1.0})).await;
    simulator.control("emit", json!({"action": "login", "user_pk": 8})).await;
    let received = target.until(|received| received.len() == 2).await;
    assert_eq!(ids(&received).len(), 1);
}

#[tokio::test]
async fn pending_webhooks_about_actions_of_a_deleted_user_are_dropped() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, config()).await;
    simulator.control("faults", json!({"hold_webhooks": true})).await;
    simulator.control("emit", json!({"action": "login", "user_pk": 8})).await;
    simulator.admin(Method::DELETE, "/api/v3/core/users/8/", Value::Null).await;
    simulator.control("faults", json!({"hold_webhooks": false})).await;
    let state = simulator.until(|state| state["deliveries"]["delivered"] == 1).await;
    assert_eq!(state["deliveries"]["dropped"], 1);
    assert_eq!(target.received()[0].action(), "model_deleted");
}

#[tokio::test]
async fn sent_events_have_the_recorded_member_order() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, example()).await;
    let flow = |slug: &str| format!("/if/flow/{slug}/?next=/");
    let mut browser = Browser::new(&simulator);
    let wrong = "username=grace&password=wrong";
    browser.submit(&flow("default-authentication-flow"), wrong).await;
    browser.log_in("grace", "openid profile").await;
    browser.open("/application/o/example/end-session/").await;
    let received = target.until(|received| received.len() == 4).await;
    for (action, name) in [
        ("login_failed", "login_failed_known_user"),
        ("login", "login"),
        ("authorize_application", "authorize_application"),
        ("logout", "logout"),
    ] {
        has_the_recorded_members(&received, action, name);
    }
}

#[tokio::test]
async fn events_of_a_sign_up_have_the_recorded_member_order() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, example()).await;
    let path = "/if/flow/authentik-events-enrollment/?next=/";
    let fields = "username=new&name=New&email=new@lab.invalid&password=a-secret-password";
    Browser::new(&simulator).submit(path, fields).await;
    let received = target.until(|received| received.len() == 3).await;
    for (action, name) in [
        ("model_created", "user_created_enrollment"),
        ("user_write", "user_write_enrollment"),
        ("login", "login_after_enrollment"),
    ] {
        let text = has_the_recorded_members(&received, action, name);
        assert!(!text.contains("a-secret-password"), "a password is not masked");
    }
}
