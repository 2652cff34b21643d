//! Which events a change makes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Running, config};

/// The events of one administrator's request, each as `action` or `action model`.
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
async fn a_new_user_is_created_and_updated() {
    let body = json!({"username": "new", "name": "New"});
    let events = events_of(Method::POST, "/api/v3/core/users/", body).await;
    assert_eq!(events, ["model_created user", "model_updated user"]);
}

#[tokio::test]
async fn an_update_without_a_change_is_an_event_too() {
    let events = events_of(Method::PATCH, "/api/v3/core/users/8/", json!({"name": "Grace Hopper"})).await;
    assert_eq!(events, ["model_updated user"]);
}

#[tokio::test]
async fn setting_the_groups_of_a_user_is_two_updates_of_the_user() {
    let body = json!({"groups": ["1ca5cc4b-c6b5-4128-838f-ca18ffa6d060"]});
    let events = events_of(Method::PATCH, "/api/v3/core/users/9/", body).await;
    assert_eq!(events, ["model_updated user", "model_updated user"]);
}

#[tokio::test]
async fn a_member_is_an_update_of_the_group_that_does_not_name_the_user() {
    let path = "/api/v3/core/groups/1ca5cc4b-c6b5-4128-838f-ca18ffa6d060/add_user/";
    let events = events_of(Method::POST, path, json!({"pk": 6})).await;
    assert_eq!(events, ["model_updated group"]);
}

#[tokio::test]
async fn a_service_account_with_its_group_is_four_events() {
    let body = json!({"name": "robot", "create_group": true});
    let events = events_of(Method::POST, "/api/v3/core/users/service_account/", body).await;
    let expected = ["model_created user", "model_updated user", "model_created group", "model_updated group"];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn new_parents_are_two_updates_of_the_group() {
    let path = "/api/v3/core/groups/1ca5cc4b-c6b5-4128-838f-ca18ffa6d060/";
    let events = events_of(Method::PATCH, path, json!({"parents": []})).await;
    assert_eq!(events, ["model_updated group", "model_updated group"]);
}

#[tokio::test]
async fn a_password_set_by_an_administrator_is_said_of_the_target() {
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
async fn an_impersonation_names_its_target_beside_the_actor() {
    let simulator = Running::start(config()).await;
    let body = json!({"reason": "support"});
    simulator.admin(Method::POST, "/api/v3/core/users/8/impersonate/", body).await;
    for _ in 0..2 {
        simulator.admin(Method::GET, "/api/v3/core/users/impersonate_end/", Value::Null).await;
    }
    assert_eq!(simulator.actions().await, ["impersonation_started", "impersonation_ended"]);
    let page = simulator.get("/api/v3/events/events/?action=started").await;
    assert_eq!(page["results"][0]["user"]["on_behalf_of"]["username"], "grace");
}

#[tokio::test]
async fn who_deletes_themself_leaves_no_event() {
    let simulator = Running::start(config()).await;
    simulator.control("emit", json!({"action": "login", "user_pk": 8})).await;
    simulator.control("self_delete", json!({"pk": 8})).await;
    assert!(simulator.actions().await.is_empty());
    assert_eq!(simulator.get("/api/v3/core/users/?username=grace").await["pagination"]["count"], 0);
}

#[tokio::test]
async fn a_directory_sync_makes_no_events() {
    let simulator = Running::start(config()).await;
    for body in [
        json!({"op": "create_user", "username": "synced", "groups": ["navy"]}),
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

#[tokio::test]
async fn a_profile_changed_by_its_user_is_written_and_updated() {
    let simulator = Running::start(config()).await;
    simulator.control("self_update", json!({"pk": 8, "name": "Rear Admiral"})).await;
    assert_eq!(simulator.actions().await, ["model_updated", "user_write"]);
}
