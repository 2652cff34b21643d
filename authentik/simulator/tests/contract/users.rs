//! Lists, filters and changes of users over REST.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, READER, Running, config};

fn usernames(page: &Value) -> Vec<&str> {
    page["results"].as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn filters_select_users() {
    let simulator = Running::start(config()).await;
    for (query, expected) in [
        ("username=grace", vec!["grace"]),
        ("uuid=8c68b6b69a664e8d935910d7286dcf2d", vec!["grace"]),
        ("email=ada@lab.invalid", vec!["ada"]),
        ("is_active=false", vec!["former"]),
        ("type=external&type=service_account", vec!["authentik-events", "former"]),
        ("path=service-accounts", vec!["authentik-events"]),
        ("groups_by_pk=1ca5cc4b-c6b5-4128-838f-ca18ffa6d060", vec!["grace"]),
        ("date_joined__gt=2027-01-01T00:00:00Z", vec![]),
        ("last_login__gt=2020-01-01T00:00:00Z", vec![]),
        ("ordering=-pk&page_size=2", vec!["former", "katherine"]),
    ] {
        let page = simulator.get(&format!("/api/v3/core/users/?{query}")).await;
        assert_eq!(usernames(&page), expected, "{query}");
    }
}

#[tokio::test]
async fn unknown_parameters_and_bad_booleans_are_ignored() {
    let simulator = Running::start(config()).await;
    let all = simulator.get("/api/v3/core/users/").await;
    let same = simulator.get("/api/v3/core/users/?nope=1&is_active=perhaps&ordering=nope").await;
    assert_eq!(usernames(&all), usernames(&same));
}

#[tokio::test]
async fn a_page_has_at_most_a_hundred_users() {
    let simulator = Running::start(config()).await;
    simulator.control("silent", json!({"op": "create_users", "count": 250})).await;
    let first = simulator.get("/api/v3/core/users/?ordering=pk&page_size=1000").await;
    assert_eq!(first["results"].as_array().unwrap().len(), 100);
    assert_eq!(first["pagination"]["total_pages"], 3);
    let last = simulator.get("/api/v3/core/users/?ordering=pk&page_size=1000&page=3").await;
    assert_eq!(last["pagination"]["next"], 0);
    assert_eq!(last["results"].as_array().unwrap().len(), 58);
}

#[tokio::test]
async fn a_user_can_be_created_changed_and_deleted() {
    let simulator = Running::start(config()).await;
    let pk = simulator.create_user("new").await;
    assert_eq!(pk, 11);
    let path = format!("/api/v3/core/users/{pk}/");
    let changed = simulator.admin(Method::PATCH, &path, json!({"email": "new@lab.invalid"})).await;
    assert_eq!(changed["email"], "new@lab.invalid");
    assert_eq!(changed["username"], "new");
    simulator.admin(Method::DELETE, &path, Value::Null).await;
    let gone = simulator.request(Method::GET, &path, Some(READER)).send().await.unwrap();
    assert_eq!(gone.status().as_u16(), 404);
    assert_eq!(simulator.create_user("next").await, pk + 1, "the key was reused");
}

#[tokio::test]
async fn only_a_save_changes_last_updated() {
    let simulator = Running::start(config()).await;
    let before = simulator.get("/api/v3/core/users/9/").await;
    let navy = "/api/v3/core/groups/1ca5cc4bc6b54128838fca18ffa6d060";
    simulator.admin(Method::POST, &format!("{navy}/add_user/"), json!({"pk": 9})).await;
    let member = simulator.get("/api/v3/core/users/9/").await;
    assert_eq!(member["groups"], json!(["1ca5cc4b-c6b5-4128-838f-ca18ffa6d060"]));
    assert_eq!(member["last_updated"], before["last_updated"]);
    simulator.admin(Method::PATCH, "/api/v3/core/users/9/", json!({})).await;
    let saved = simulator.get("/api/v3/core/users/9/").await;
    assert_ne!(saved["last_updated"], before["last_updated"]);
}

#[tokio::test]
async fn a_parent_group_can_make_its_members_administrators() {
    let simulator = Running::start(config()).await;
    let admins = "f61248b6-1e16-4e4a-ae06-e5dfd8eb5f13";
    let body = json!({"name": "deputies", "parents": [admins], "users": [6]});
    simulator.admin(Method::POST, "/api/v3/core/groups/", body).await;
    assert_eq!(simulator.get("/api/v3/core/users/6/").await["is_superuser"], true);
}

#[tokio::test]
async fn an_error_names_all_wrong_fields() {
    let simulator = Running::start(config()).await;
    let body = json!({"username": "", "name": "x", "is_active": "maybe", "groups": ["nope"], "type": "x"});
    let response = simulator.request(Method::POST, "/api/v3/core/users/", Some(ADMIN)).json(&body);
    let response = response.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 400);
    let body: Value = response.json().await.unwrap();
    let fields: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["groups", "is_active", "type", "username"]);
}
