//! Random changes in authentik, from a seed.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::json;

use crate::Authentik;

/// Makes random changes in authentik; the same changes for the same seed.
pub struct Chaos {
    rng: StdRng,
    authentik: Authentik,
    users: Vec<i64>,
    groups: Vec<String>,
    /// How many users may still be deleted without triggering the brake.
    n_deletable: usize,
    n_created: usize,
}

impl Chaos {
    /// Creates the initial users and groups. Prints the seed; set `E2E_SEED` to it to repeat a failure.
    pub async fn start(authentik: &Authentik, n_users: usize) -> Self {
        let seed = std::env::var("E2E_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or_else(rand::random);
        eprintln!("E2E_SEED={seed}");
        let rng = StdRng::seed_from_u64(seed);
        let authentik = authentik.clone();
        let n_deletable = (n_users / 200).max(6);
        let mut chaos = Self { rng, authentik, users: vec![], groups: vec![], n_deletable, n_created: 0 };
        for name in ["red", "green", "blue"] {
            chaos.groups.push(chaos.authentik.create_group(name).await);
        }
        for _ in 0..n_users {
            chaos.create().await;
        }
        chaos
    }

    /// A random number below `n`.
    pub fn pick(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    /// Makes one random change, with or without an event.
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
            0 if number.is_multiple_of(4) => return self.create_silently().await,
            0 => return self.create().await,
            1 if self.n_deletable > 0 => {
                self.n_deletable -= 1;
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
        self.authentik.request_until_answered(method, &path, &body).await;
    }

    async fn create(&mut self) {
        self.n_created += 1;
        let username = format!("chaos-{}", self.n_created);
        let body = json!({"username": username, "name": username});
        let created = self.authentik.request_until_answered(Method::POST, "/api/v3/core/users/", &body).await;
        // An interrupted request may have created the user. Then the sweep finds the user.
        self.users.extend(created["pk"].as_i64());
    }

    async fn create_silently(&mut self) {
        self.n_created += 1;
        let body = json!({"op": "create_user", "username": format!("silent-{}", self.n_created)});
        let created = self.authentik.request_until_answered(Method::POST, "/_control/silent", &body).await;
        self.users.extend(created["pk"].as_i64());
    }
}
