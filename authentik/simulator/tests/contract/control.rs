//! The controls themselves.

use reqwest::Method;
use serde_json::json;

use crate::support::{READER, Running, config};

#[tokio::test]
async fn only_the_given_faults_change() {
    let simulator = Running::start(config()).await;
    simulator.control("faults", json!({"rest_status": 503})).await;
    let faults = simulator.control("faults", json!({"jwks_down": true})).await;
    assert_eq!(faults["rest_status"], 503);
    assert_eq!(faults["jwks_down"], true);
    let answer = simulator.request(Method::GET, "/api/v3/core/users/", Some(READER)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 503);
    let faults = simulator.control("faults", json!({"rest_status": null})).await;
    assert_eq!(faults["rest_status"], json!(null));
    simulator.get("/api/v3/core/users/").await;
}

#[tokio::test]
async fn reads_are_counted_by_what_they_ask_for() {
    let simulator = Running::start(config()).await;
    for path in ["users/", "users/?page=1", "users/8/", "groups/"] {
        simulator.get(&format!("/api/v3/core/{path}")).await;
    }
    assert_eq!(simulator.get("/_control/reads").await, json!({"users": 2, "user": 1, "groups": 1}));
}

#[tokio::test]
async fn an_unknown_fault_is_refused() {
    let simulator = Running::start(config()).await;
    let request = simulator.request(Method::POST, "/_control/faults", None);
    let answer = request.json(&json!({"rest_statsu": 503})).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 400);
}

#[tokio::test]
async fn a_broken_provider_answers_with_the_given_status() {
    let simulator = Running::start(config()).await;
    simulator.control("faults", json!({"jwks_down": true})).await;
    let jwks = "/application/o/authentik-events/jwks/";
    let discovery = "/application/o/authentik-events/.well-known/openid-configuration";
    let status =
        async |path| simulator.request(Method::GET, path, None).send().await.unwrap().status().as_u16();
    assert_eq!((status(jwks).await, status(discovery).await), (503, 200));
    simulator.control("faults", json!({"oidc_status": 502})).await;
    assert_eq!((status(jwks).await, status(discovery).await), (502, 502));
}

#[tokio::test]
async fn a_new_key_takes_the_place_of_the_old_one() {
    let simulator = Running::start(config()).await;
    let jwks = "/application/o/authentik-events/jwks/";
    let before = simulator.get(jwks).await;
    let rotated = simulator.control("rotate_key", json!({})).await;
    let after = simulator.get(jwks).await;
    assert_eq!(after["keys"].as_array().unwrap().len(), 1);
    assert_eq!(after["keys"][0]["kid"], rotated["kid"]);
    assert_ne!(after["keys"][0]["kid"], before["keys"][0]["kid"]);
}

#[tokio::test]
async fn the_state_shows_who_is_in_which_group() {
    let simulator = Running::start(config()).await;
    let state = simulator.state().await;
    let grace = state["users"].as_array().unwrap().iter().find(|user| user["pk"] == 8).unwrap();
    assert_eq!(grace["groups"], json!(["navy"]));
    let navy = state["groups"].as_array().unwrap().iter().find(|group| group["name"] == "navy").unwrap();
    assert_eq!(navy["users"], json!([8]));
}
