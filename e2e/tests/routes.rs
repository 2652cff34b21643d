//! The table of rights in the API's README, checked against a whole installation.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;

use e2e::System;
use e2e::dead_letters::set_aside;
use reqwest::{Method, Response};
use serde_json::Value;
use testkit::eventually;

const README: &str = include_str!("../../api/README.md");
const OPENAPI: &str = include_str!("../../api/openapi.json");

/// The caller of a request: the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Anonymous,
    OwnData,
    OtherData,
    Admin,
}

const ROLES: [Role; 4] = [Role::Anonymous, Role::OwnData, Role::OtherData, Role::Admin];

/// A row of the table. A status is missing if the combination is impossible.
struct Row {
    method: Method,
    path: String,
    statuses: Vec<Option<u16>>,
}

fn rows() -> Vec<Row> {
    let table = README.split("## Rights").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (method, path) = cells[0].trim_matches('`').split_once(' ').unwrap();
        let statuses = cells[1..].iter().map(|cell| cell.parse().ok());
        let row =
            Row { method: method.parse().unwrap(), path: path.to_owned(), statuses: statuses.collect() };
        let unread = cells[1..].iter().zip(&row.statuses).filter(|(_, status)| status.is_none());
        assert!(
            row.statuses.len() == ROLES.len() && unread.into_iter().all(|(cell, _)| *cell == "–"),
            "{cells:?}"
        );
        row
    });
    rows.collect()
}

/// The operations of the OpenAPI document, as `GET /api/me`.
fn documented() -> Vec<(String, Value)> {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut routes = vec![];
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            routes.push((format!("{} {path}", method.to_uppercase()), operation.clone()));
        }
    }
    routes
}

/// An installation with two users, a group, an operation and dead letters.
struct World {
    system: System,
    admin: String,
    caller: String,
    own: i64,
    other: i64,
    group: String,
    operation: String,
    n_letters: u32,
}

impl World {
    async fn new() -> Self {
        let system = System::start().await;
        let authentik = &system.authentik;
        let (own, other) = (authentik.create_user("mary").await, authentik.create_user("joan").await);
        let group = authentik.create_group("engineers").await;
        let (admin, caller) = (authentik.token("akadmin").await, authentik.token("mary").await);
        eventually("users and group are recorded, and the projections exist", || async {
            for path in [
                format!("/api/users/{own}"),
                format!("/api/users/{other}"),
                format!("/api/groups/{group}"),
                "/api/me".to_owned(),
            ] {
                let found = system.call(Method::GET, &path, Some(&admin)).await;
                (found.status().as_u16() == 200).then_some(())?;
            }
            let (_, status) = system.get("/api/status", "akadmin").await;
            let projections = status["projections"].as_array()?;
            (projections.len() == 3 && projections.iter().all(|one| one["generation"].is_u64())).then_some(())
        })
        .await;
        set_aside(&system, "first").await;
        let replayed = system.call(Method::POST, "/api/dead-letters/first/replay", Some(&admin)).await;
        assert_eq!(replayed.status().as_u16(), 200);
        let (_, list) = system.get("/api/operations", "akadmin").await;
        let operation = list["operations"][0]["id"].as_str().unwrap().to_owned();
        Self { admin, caller, own, other, group, operation, n_letters: 0, system }
    }

    /// The path with its placeholders filled in, with the caller's or another user's data.
    async fn path(&mut self, template: &str, takes_user: bool, role: Role) -> String {
        let user = if role == Role::OwnData { self.own } else { self.other };
        let id = if template.contains("dead-letters") {
            self.n_letters += 1;
            let id = format!("letter-{}", self.n_letters);
            set_aside(&self.system, &id).await;
            id
        } else {
            self.operation.clone()
        };
        let path = template
            .replace("{pk}", &user.to_string())
            .replace("{uuid}", &self.group)
            .replace("{type}", "user-registered")
            .replace("{name}", "users")
            .replace("{id}", &id);
        match template {
            "/api/brake/confirm" => format!("{path}?deletions=1"),
            _ if takes_user => format!("{path}?user={user}"),
            _ => path,
        }
    }

    async fn call(&self, method: &Method, path: &str, role: Role) -> Response {
        let token = match role {
            Role::Anonymous => None,
            Role::OwnData | Role::OtherData => Some(self.caller.as_str()),
            Role::Admin => Some(self.admin.as_str()),
        };
        self.system.call(method.clone(), path, token).await
    }
}

fn check_refusal(answer: &Response, route: &str) {
    let status = answer.status().as_u16();
    let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
    match status {
        401 => assert_eq!(challenge, Some("Bearer"), "{route}"),
        403 => assert_eq!(challenge, Some(r#"Bearer error="insufficient_scope""#), "{route}"),
        _ => {}
    }
    if status >= 400 {
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{route}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_answers_each_role_as_the_table_says() {
    let documented = documented();
    let rows = rows();
    let named: BTreeSet<_> = rows.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    assert_eq!(named.len(), rows.len(), "a route is in the table twice");
    assert_eq!(named, documented.iter().map(|(route, _)| route.clone()).collect());
    let mut world = World::new().await;
    for Row { method, path, statuses } in rows {
        let route = format!("{method} {path}");
        let (_, operation) = documented.iter().find(|(known, _)| *known == route).unwrap();
        let takes_user =
            operation["parameters"].as_array().into_iter().flatten().any(|one| one["name"] == "user");
        let (is_me, names_user) = (path.starts_with("/api/me"), takes_user || path.contains("{pk}"));
        for (role, expected) in ROLES.into_iter().zip(statuses) {
            let is_possible = match role {
                Role::OwnData => is_me || names_user,
                Role::OtherData => !is_me,
                Role::Anonymous | Role::Admin => true,
            };
            assert_eq!(expected.is_some(), is_possible, "{route} {role:?}");
            let Some(expected) = expected else { continue };
            let path = world.path(&path, takes_user, role).await;
            let answer = world.call(&method, &path, role).await;
            check_refusal(&answer, &route);
            let status = answer.status().as_u16();
            assert!(
                operation["responses"][status.to_string()].is_object(),
                "openapi.json does not declare {status} for {route}"
            );
            // The feed does not end, so read only an unexpected answer.
            let text = if status == expected { String::new() } else { answer.text().await.unwrap() };
            assert_eq!(status, expected, "{route} for {role:?}: {text}");
            if role == Role::Anonymous && expected == 401 {
                let refused = world.system.call(method.clone(), &path, Some("no token")).await;
                assert_eq!(refused.status().as_u16(), 401, "{route} with an invalid token");
            }
        }
    }
}
