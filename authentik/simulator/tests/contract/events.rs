//! Which events each change makes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Running, config};

/// The events of one request by an administrator, each as `action` or `action model`.
async fn events_of(method: Method, path: &str, body: Value) -> Vec<String> {
    let simulator = Running::start(config()).await;
    simulator.admin(method, path, body).await;
    let page = simulator.get("/api/v3/events/events/?ordering=created").await;
    let results = page["results"].as_array().unwrap();
    let named = |event: &Value| {
        let model = event["context"]["model"]["model_name"].as_str().unwrap_or_default();
        format!("{} {model}", event["action"].as_str().unwrap()).trim().to_owned()
    };
    results.iter().map(named).collect()
}

#[tokio::test]
async fn creating_a_user_makes_a_created_and_an_updated_event() {
    let body = json!({"username": "new", "name": "New"});
    let events = events_of(Method::POST, "/api/v3/core/users/", body).await;
    assert_eq!(events, ["model_created user", "model_updated user"]);
}

#[tokio::test]
async fn an_update_without_a_difference_makes_an_event() {
    let events = events_of(Method::PATCH, "/api/v3/core/users/8/", json!({"name": "Grace Hopper"})).await;
    assert_eq!(events, ["model_updated user"]);
}

#[tokio::test]
async fn setting_the_groups_of_a_user_makes_two_updated_events() {
    let body = json!({"groups": ["1ca5cc4b-c6b5-4128-838f-ca18ffa6d060"]});
    let events = events_of(Method::PATCH, "/api/v3/core/users/9/", body).await;
    assert_eq!(events, ["model_updated user", "model_updated user"]);
}

#[tokio::test]
async fn adding_a_member_makes_an_updated_event_of_the_group() {
    let path = "/api/v3/core/groups/1ca5cc4b-c6b5-4128-838f-ca18ffa6d060/add_user/";
    let events = events_of(Method::POST, path, json!({"pk": 6})).await;
    assert_eq!(events, ["model_updated group"]);
}

#[tokio::test]
async fn setting_the_parents_of_a_group_makes_two_updated_events() {
    let path = "/api/v3/core/groups/1ca5cc4b-c6b5-4128-838f-ca18ffa6d060/";
    let events = events_of(Method::PATCH, path, json!({"parents": []})).await;
    assert_eq!(events, ["model_updated group", "model_updated group"]);
}

#[tokio::test]
async fn the_actor_of_a_password_set_by_an_administrator_is_the_target() {
    let simulator = Running::start(config()).await;
    let body = json!({"password": "correct horse"});
    simulator.admin(Method::POST, "/api/v3/core/users/8/set_password/", body).await;
    let page = simulator.get("/api/v3/events/events/?ordering=created").await;
    assert_eq!(page["results"][0]["action"], "password_set");
    assert_eq!(page["results"][0]["user"]["username"], "grace");
    assert_eq!(page["results"][1]["action"], "model_updated");
    assert_eq!(page["results"][1]["user"]["username"], "akadmin");
    let request = |index: usize| &page["results"][index]["context"]["http_request"]["request_id"];
    assert_eq!(request(0), request(1));
}

#[tokio::test]
async fn a_user_who_deletes_themself_leaves_no_event() {
    let simulator = Running::start(config()).await;
    simulator.control("emit", json!({"action": "login", "user_pk": 3})).await;
    simulator.admin(Method::DELETE, "/api/v3/core/users/3/", Value::Null).await;
    assert!(simulator.actions().await.is_empty());
    assert_eq!(simulator.get("/api/v3/core/users/?username=akadmin").await["pagination"]["count"], 0);
}

#[tokio::test]
async fn a_directory_sync_makes_no_events() {
    let simulator = Running::start(config()).await;
    for body in [
        json!({"op": "create_user", "username": "synced"}),
        json!({"op": "add_to_group", "pk": 11, "group": "navy"}),
        json!({"op": "update_user", "pk": 11, "is_active": false}),
        json!({"op": "add_to_group", "pk": 11, "group": "mathematics"}),
        json!({"op": "remove_from_group", "pk": 11, "group": "navy"}),
    ] {
        simulator.control("silent", body).await;
    }
    assert!(simulator.actions().await.is_empty());
    let user = simulator.get("/api/v3/core/users/11/").await;
    assert_eq!(user["is_active"], false);
    assert_eq!(user["groups_obj"][0]["name"], "mathematics");
}
