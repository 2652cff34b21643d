//! Sending webhooks.

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
async fn after_six_attempts_a_webhook_is_rejected_and_can_be_sent_once_more() {
    let target = Target::start(&[500; 7], 204).await;
    let simulator = start(&target, Config { retry_scale: 0.0001, ..config() }).await;
    simulator.control("emit", json!({"action": "login", "user_pk": 8})).await;
    simulator.until(|state| state["deliveries"]["rejected"] == 1).await;
    assert_eq!(target.so_far().len(), 6);
    // The seventh answer is a 500 too, and a retry by hand has no retries of its own.
    assert_eq!(simulator.control("deliveries/retry", json!({})).await["retried"], 1);
    target.until(|received| received.len() == 7).await;
    simulator.until(|state| state["deliveries"]["rejected"] == 1).await;
    simulator.control("deliveries/retry", json!({})).await;
    simulator.until(|state| state["deliveries"]["delivered"] == 1).await;
}

#[tokio::test]
async fn a_redirect_that_leads_nowhere_counts_as_delivered() {
    let target = Target::start(&[], 302).await;
    let simulator = start(&target, config()).await;
    simulator.control("emit", json!({"action": "logout", "user_pk": 8})).await;
    simulator.until(|state| state["deliveries"]["delivered"] == 1).await;
}

#[tokio::test]
async fn webhooks_overtake_each_other() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, config()).await;
    simulator.control("faults", json!({"hold_webhooks": true})).await;
    for number in 0..20 {
        simulator.create_user(&format!("burst-{number}")).await;
    }
    assert_eq!(simulator.state().await["deliveries"]["pending"], 40);
    assert!(target.so_far().is_empty(), "held webhooks are not sent");
    simulator.control("faults", json!({"hold_webhooks": false})).await;
    let received = target.until(|received| received.len() == 40).await;
    let created: Vec<String> =
        received.iter().map(|webhook| webhook.json()["event"]["created"].to_string()).collect();
    assert!(!created.is_sorted(), "40 webhooks came in the order of their events");
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
    assert_eq!(target.so_far()[0].action(), "source_linked");
}

#[tokio::test]
async fn webhooks_can_be_lost_and_doubled() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, config()).await;
    simulator.control("faults", json!({"drop_webhooks": 1.0})).await;
    simulator.control("emit", json!({"action": "login", "user_pk": 8})).await;
    simulator.until(|state| state["deliveries"]["dropped"] == 1).await;
    assert!(target.so_far().is_empty());
    simulator.control("faults", json!({"drop_webhooks": 0.0, "duplicate_webhooks": 1.0})).await;
    simulator.control("emit", json!({"action": "login", "user_pk": 8})).await;
    let received = target.until(|received| received.len() == 2).await;
    assert_eq!(ids(&received).len(), 1);
}

#[tokio::test]
async fn what_a_deleted_user_did_is_not_sent_any_more() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, config()).await;
    simulator.control("faults", json!({"hold_webhooks": true})).await;
    simulator.control("emit", json!({"action": "login", "user_pk": 8})).await;
    simulator.admin(Method::DELETE, "/api/v3/core/users/8/", Value::Null).await;
    simulator.control("faults", json!({"hold_webhooks": false})).await;
    let state = simulator.until(|state| state["deliveries"]["delivered"] == 1).await;
    assert_eq!(state["deliveries"]["dropped"], 1);
    assert_eq!(target.so_far()[0].action(), "model_deleted");
}

#[tokio::test]
async fn members_of_sent_events_stand_in_the_recorded_order() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, example()).await;
    let flow = |slug: &str| format!("/if/flow/{slug}/?next=/");
    let mut browser = Browser::new(&simulator);
    let wrong = "username=grace&password=wrong";
    browser.submit(&flow("default-authentication-flow"), wrong).await;
    browser.log_in("grace", "openid profile").await;
    browser.open("/application/o/example/end-session/").await;
    let impersonation = json!({"reason": "lab"});
    simulator.admin(Method::POST, "/api/v3/core/users/8/impersonate/", impersonation).await;
    let received = target.until(|received| received.len() == 5).await;
    for (action, name) in [
        ("login_failed", "login_failed_known_user"),
        ("login", "login"),
        ("authorize_application", "authorize_application"),
        ("logout", "logout"),
        ("impersonation_started", "impersonation_started"),
    ] {
        let webhook = received.iter().find(|webhook| webhook.action() == action).expect(action);
        let recording = recording(&format!("webhooks/{name}"));
        let recorded = recording["body"].as_str().unwrap();
        assert_eq!(shape::members(std::str::from_utf8(&webhook.body).unwrap()), shape::members(recorded));
    }
}

#[tokio::test]
async fn events_of_a_sign_up_are_sent_as_recorded() {
    let target = Target::start(&[], 204).await;
    let simulator = start(&target, example()).await;
    let path = "/if/flow/authentik-events-enrollment/?next=/";
    let fields = "username=new&name=New&email=new@lab.invalid&password=secret";
    Browser::new(&simulator).submit(path, fields).await;
    let received = target.until(|received| received.len() == 3).await;
    for (action, name) in [
        ("model_created", "user_created_enrollment"),
        ("user_write", "user_write_enrollment"),
        ("login", "login_after_enrollment"),
    ] {
        let webhook = received.iter().find(|webhook| webhook.action() == action).expect(action);
        let recording = recording(&format!("webhooks/{name}"));
        let recorded = recording["body"].as_str().unwrap();
        let text = std::str::from_utf8(&webhook.body).unwrap();
        assert_eq!(shape::members(text), shape::members(recorded));
        assert!(!text.contains("secret"), "passwords are masked");
    }
}
