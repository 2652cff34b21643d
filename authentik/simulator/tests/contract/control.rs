//! The control routes.

use reqwest::Method;
use serde_json::json;

use crate::support::{READER, Running, config};

#[tokio::test]
async fn setting_one_fault_keeps_the_others() {
    let simulator = Running::start(config()).await;
    simulator.control("faults", json!({"rest_status": 503})).await;
    let faults = simulator.control("faults", json!({"hold_webhooks": true})).await;
    assert_eq!(faults["rest_status"], 503);
    assert_eq!(faults["hold_webhooks"], true);
    let response = simulator.request(Method::GET, "/api/v3/core/users/", Some(READER)).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
    let faults = simulator.control("faults", json!({"rest_status": null})).await;
    assert_eq!(faults["rest_status"], json!(null));
    simulator.get("/api/v3/core/users/").await;
}

#[tokio::test]
async fn requests_for_one_user_by_key_are_counted() {
    let simulator = Running::start(config()).await;
    for path in ["users/", "users/?page=1", "users/8/", "groups/"] {
        simulator.get(&format!("/api/v3/core/{path}")).await;
    }
    assert_eq!(simulator.get("/_control/reads").await, json!({"user": 1}));
}

#[tokio::test]
async fn an_unknown_fault_is_refused() {
    let simulator = Running::start(config()).await;
    let request = simulator.request(Method::POST, "/_control/faults", None);
    let response = request.json(&json!({"rest_statsu": 503})).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 400);
}

#[tokio::test]
async fn a_broken_provider_responds_with_the_given_status() {
    let simulator = Running::start(config()).await;
    let jwks = "/application/o/authentik-events/jwks/";
    let discovery = "/application/o/authentik-events/.well-known/openid-configuration";
    let status =
        async |path| simulator.request(Method::GET, path, None).send().await.unwrap().status().as_u16();
    assert_eq!((status(jwks).await, status(discovery).await), (200, 200));
    simulator.control("faults", json!({"oidc_status": 502})).await;
    assert_eq!((status(jwks).await, status(discovery).await), (502, 502));
}

#[tokio::test]
async fn the_state_shows_the_members_of_each_group() {
    let simulator = Running::start(config()).await;
    let state = simulator.state().await;
    let grace = state["users"].as_array().unwrap().iter().find(|user| user["pk"] == 8).unwrap();
    assert_eq!(grace["groups"], json!(["navy"]));
    let navy = state["groups"].as_array().unwrap().iter().find(|group| group["name"] == "navy").unwrap();
    assert_eq!(navy["users"], json!([8]));
}
