//! Random changes in authentik, from a seed, and what must hold of them afterwards.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Authentik, System};

/// Deletions that come below the brake.
const MAX_DELETIONS: usize = 6;

/// Somebody who changes things in authentik, the same from the same seed.
pub struct Chaos {
    rng: StdRng,
    authentik: Authentik,
    users: Vec<i64>,
    groups: Vec<String>,
    n_deleted: usize,
    n_made: usize,
}

impl Chaos {
    /// Makes some users and groups to begin with. The seed is printed: it is what repeats a failure.
    pub async fn begin(authentik: &Authentik, n_users: usize) -> Self {
        let seed = std::env::var("E2E_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or_else(rand::random);
        eprintln!("E2E_SEED={seed}");
        let rng = StdRng::seed_from_u64(seed);
        let authentik = authentik.clone();
        let mut chaos = Self { rng, authentik, users: vec![], groups: vec![], n_deleted: 0, n_made: 0 };
        for name in ["red", "green", "blue"] {
            chaos.groups.push(chaos.authentik.create_group(name).await);
        }
        for _ in 0..n_users {
            chaos.create().await;
        }
        chaos
    }

    /// A number below `n`.
    pub fn pick(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    /// One change, told by webhook or silent.
    pub async fn change(&mut self) {
        let (Some(pk), Some(group)) =
            (self.users.choose(&mut self.rng).copied(), self.groups.choose(&mut self.rng))
        else {
            return;
        };
        let group = group.clone();
        let user = format!("/api/v3/core/users/{pk}/");
        let silent = "/_control/silent";
        let number = self.pick(1000);
        let (method, path, body) = match self.pick(12) {
            0 => return self.create().await,
            1 if self.n_deleted < MAX_DELETIONS => {
                self.n_deleted += 1;
                self.users.retain(|user| *user != pk);
                match number % 2 {
                    0 => (Method::DELETE, user, json!({})),
                    _ => (Method::POST, silent.to_owned(), json!({"op": "delete_user", "pk": pk})),
                }
            }
            2 | 3 => (Method::PATCH, user, json!({"is_active": number.is_multiple_of(2)})),
            4 | 5 => (Method::POST, format!("/api/v3/core/groups/{group}/add_user/"), json!({"pk": pk})),
            6 => (Method::POST, format!("/api/v3/core/groups/{group}/remove_user/"), json!({"pk": pk})),
            7 => (
                Method::POST,
                silent.to_owned(),
                json!({"op": "update_user", "pk": pk, "name": format!("silent {number}")}),
            ),
            8 => (Method::POST, silent.to_owned(), json!({"op": "add_to_group", "pk": pk, "group": group})),
            9 => (Method::POST, "/_control/emit".to_owned(), json!({"action": "login", "user_pk": pk})),
            _ => (Method::PATCH, user, json!({"name": format!("name {number}")})),
        };
        self.authentik.insist(method, &path, &body).await;
    }

    async fn create(&mut self) {
        self.n_made += 1;
        let username = format!("chaos-{}", self.n_made);
        let body = json!({"username": username, "name": username});
        let made = self.authentik.insist(Method::POST, "/api/v3/core/users/", &body).await;
        // One that was cut off may be there all the same: then the name is taken, and the sweep finds the user.
        self.users.extend(made["pk"].as_i64());
    }
}

/// Waits until what is recorded of every user is what authentik has.
pub async fn converged(system: &System) {
    testkit::eventually("every user is recorded as authentik has them", || async {
        let state = system.authentik.state().await;
        let mut recorded = Value::Null;
        let mut cursor = String::new();
        let mut users = vec![];
        while recorded["next"] != Value::Null || cursor.is_empty() {
            let path = format!("/api/users?limit=500{cursor}");
            recorded = system.ask(&path, "akadmin").await.1;
            users.extend(recorded["users"].as_array()?.iter().map(of_view));
            cursor = format!("&cursor={}", recorded["next"].as_str().unwrap_or_default());
        }
        let expected: BTreeSet<String> = state["users"].as_array()?.iter().map(of_state).collect();
        (users.into_iter().collect::<BTreeSet<_>>() == expected).then_some(())
    })
    .await;
}

/// What is compared of a user, as the API gives them.
fn of_view(view: &Value) -> String {
    let user = &view["user"];
    let names: BTreeSet<_> = user["group_names"]
        .as_object()
        .into_iter()
        .flat_map(|names| names.values())
        .map(Value::to_string)
        .collect();
    format!("{} {} {} {} {names:?}", user["pk"], user["uuid"], user["name"], user["is_active"])
}

/// The same, as authentik's stand-in gives them.
fn of_state(user: &Value) -> String {
    let names: BTreeSet<_> = user["groups"].as_array().into_iter().flatten().map(Value::to_string).collect();
    format!("{} {} {} {} {names:?}", user["pk"], user["uuid"], user["name"], user["is_active"])
}
