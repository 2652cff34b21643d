//! An installation with users, and a search through the files of its nats-server.

use std::collections::BTreeSet;
use std::path::Path;

use async_nats::jetstream::consumer::pull::OrderedConfig;
use domain::event::Recorded;
use domain::hint::ERASED_BODY;
use domain::key::Entity;
use e2e::System;
use e2e::checks::PROJECTIONS;
use futures_util::TryStreamExt;
use projector::reconcile::{LAST_SWEEP_KEY, LastSweep};
use runtime::nats::Nats;
use serde_json::{Value, json};
use store::log::{EventLog, ReadFrom};
use store::messages;
use testkit::eventually;
use testkit::nats::inbox_is_drained;

/// IP addresses that no other user signs in from.
pub const SIGN_UP_IP: &str = "203.0.113.77";
pub const SIGN_IN_IP: &str = "198.51.100.23";

/// An installation with users to erase.
pub struct World {
    pub system: System,
    pub nats: Nats,
    pub log: EventLog,
}

/// A user, with all texts that identify them.
pub struct Person {
    pub pk: i64,
    pub uuid: String,
    pub strings: BTreeSet<String>,
}

impl Person {
    /// Adds a text that identifies the user, as it is and as authentik escapes it in JSON.
    pub fn add_identifier(&mut self, text: &str) {
        let escaped = text
            .chars()
            .map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) });
        self.strings.extend([text.to_owned(), escaped.collect()]);
    }
}

impl World {
    pub async fn start() -> Self {
        let system = System::start().await;
        let nats = system.nats.connect().await;
        let log = EventLog::open(&nats).await.unwrap();
        Self { system, nats, log }
    }

    /// Signs a user up through the enrollment flow.
    pub async fn sign_up(&self, username: &str, name: &str, ip: &str) -> Person {
        let authentik = &self.system.authentik;
        let email = format!("{username}@home.example");
        let fields = [
            ("username", username),
            ("name", name),
            ("email", email.as_str()),
            ("password", "correct horse battery staple"),
        ];
        authentik.flow("authentik-events-enrollment", &fields, ip).await;
        let state = authentik.state().await;
        let user = state["users"].as_array().unwrap().iter().find(|user| user["username"] == username);
        let pk = user.unwrap()["pk"].as_i64().unwrap();
        let user = authentik.find_user(pk).await.unwrap();
        let uuid = user["uuid"].as_str().unwrap().to_owned();
        let mut person = Person { pk, uuid: uuid.clone(), strings: BTreeSet::new() };
        for text in [username, name, &email, &uuid, &uuid.replace('-', ""), user["uid"].as_str().unwrap()] {
            person.add_identifier(text);
        }
        // Record this state before the user changes: a projector records only the state that it reads.
        self.process_webhooks().await;
        person
    }

    /// The user fails to sign in, is renamed, gets a badge, joins a group, and changes another user.
    pub async fn change(&self, person: &mut Person, group: &str, other: i64) {
        let authentik = &self.system.authentik;
        let username = authentik.find_user(person.pk).await.unwrap()["username"].as_str().unwrap().to_owned();
        let wrong = [("username", username.as_str()), ("password", "wrong")];
        authentik.flow("default-authentication-flow", &wrong, SIGN_IN_IP).await;
        let (name, badge) = (format!("Née {username}"), format!("badge-of-{username}"));
        authentik.update_user(person.pk, json!({"name": name, "attributes": {"badge": badge}})).await;
        person.add_identifier(&name);
        person.add_identifier(&badge);
        authentik.add_to_group(group, person.pk).await;
        let model = json!({"app": "authentik_core", "model_name": "user", "pk": other, "name": "somebody"});
        authentik.emit("model_updated", person.pk, json!({"model": model})).await;
    }

    /// Sends an undecodable webhook that mentions the user; it becomes a dead letter.
    pub async fn send_undecodable_webhook(&self, person: &Person) {
        let model = json!({"app": "authentik_core", "model_name": "user", "pk": "none", "name": person.uuid.replace('-', "")});
        self.system.authentik.emit("model_updated", person.pk, json!({"model": model})).await;
    }

    /// Waits until every webhook is delivered and processed.
    pub async fn process_webhooks(&self) {
        self.system.authentik.finish_deliveries().await;
        inbox_is_drained(&self.nats).await;
    }

    pub async fn types_of(&self, pk: i64) -> Vec<&'static str> {
        let recorded = self.recorded(Some(pk)).await;
        recorded.iter().map(|recorded| recorded.event.body.event_type().as_str()).collect()
    }

    pub async fn recorded(&self, pk: Option<i64>) -> Vec<Recorded> {
        let filter = self.log.namespace().events_filter(pk.map(Entity::User), None);
        let mut events: Vec<Recorded> = vec![];
        loop {
            let from = ReadFrom::Sequence(events.last().map_or(1, |event| event.sequence + 1));
            let page = self.log.page(&filter, from, 256).await.unwrap();
            if page.is_empty() {
                return events;
            }
            events.extend(page.iter().map(|message| message.decode().unwrap()));
        }
    }

    /// Deletes users in authentik and waits until that is recorded.
    pub async fn delete(&self, people: &[&Person]) {
        self.process_webhooks().await;
        for person in people {
            self.system.authentik.delete_user(person.pk).await;
        }
        self.process_webhooks().await;
        for person in people {
            eventually("the deletion is recorded", || async {
                (self.types_of(person.pk).await.last() == Some(&"user-deleted")).then_some(())
            })
            .await;
        }
    }

    /// Waits for a complete sweep that starts now.
    pub async fn sweep(&self) {
        let meta = self.nats.namespace.meta_bucket();
        let before = runtime::clock::now();
        eventually("a sweep that started after this moment is complete", || async {
            let last = store::views::read::<LastSweep>(&self.nats, &meta, LAST_SWEEP_KEY).await.ok()??;
            (last.value.began > before).then_some(())
        })
        .await;
    }

    /// The user's identifying texts that are in a file of nats-server.
    pub fn on_disk(&self, person: &Person) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        search(&self.system.nats.as_server().store_dir(), &person.strings, &mut found);
        found
    }

    /// Waits until all texts are on disk, which proves that the search finds them.
    pub async fn everything_is_on_disk_of(&self, person: &Person) {
        for text in &person.strings {
            eventually(&format!("{text:?} is on disk"), || async {
                self.on_disk(person).contains(text).then_some(())
            })
            .await;
        }
    }

    /// Waits until no text is on disk, because nats-server deletes a stream's files in the background.
    pub async fn nothing_is_left_of(&self, person: &Person) {
        eventually(&format!("nothing of user {} is on disk", person.pk), || async {
            let left = self.on_disk(person);
            left.is_empty().then_some(())
        })
        .await;
    }

    pub async fn verify_projections(&self) {
        for name in PROJECTIONS {
            let verified = self.system.operate(&["verify", name]).await;
            assert_eq!(verified["served"], verified["expected"], "{name}");
        }
    }

    pub async fn generations(&self) -> Vec<u64> {
        let status = self.system.operate(&["status"]).await;
        status["projections"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["generation"].as_u64())
            .collect()
    }

    pub async fn events_of(&self, pk: i64) -> Value {
        let (status, page) = self.system.get(&format!("/api/users/{pk}/events"), "akadmin").await;
        assert_eq!(status, 200);
        page["events"].clone()
    }

    pub async fn dead_letters(&self) -> usize {
        self.system.operate(&["dead-letters", "list"]).await.as_array().unwrap().len()
    }

    /// Starts an erasure and kills it as soon as `is_reached` is true. The erasure may complete before that.
    pub async fn kill_forget(&self, user: &str, when: &str, mut is_reached: impl AsyncFnMut(&Self) -> bool) {
        let mut forget = self.system.start_command(&["forget", user]);
        loop {
            if let Some(status) = forget.try_wait().unwrap() {
                assert!(status.success(), "forget failed before {when}");
                return;
            }
            if is_reached(self).await {
                forget.kill().await.unwrap();
                return;
            }
        }
    }

    pub async fn n_replaced(&self) -> usize {
        let inbox = self.nats.namespace.inbox_stream();
        let all = messages::all(&self.nats, &inbox, OrderedConfig::default()).await.unwrap();
        let all: Vec<_> = all.try_collect().await.unwrap();
        all.iter().filter(|placed| placed.message.payload == ERASED_BODY).count()
    }
}

fn search(path: &Path, strings: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    if path.is_dir() {
        // A directory can be deleted while it is read.
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            search(&entry.path(), strings, found);
        }
        return;
    }
    let content = std::fs::read(path).unwrap_or_default();
    let has = |text: &str| content.windows(text.len()).any(|window| window == text.as_bytes());
    found.extend(strings.iter().filter(|text| has(text)).cloned());
}
