//! An installation with people in it, and what is on its disk.

use std::collections::BTreeSet;
use std::path::Path;

use async_nats::jetstream::consumer::pull::OrderedConfig;
use domain::event::Recorded;
use domain::hint::ERASED_BODY;
use domain::key::Entity;
use e2e::System;
use futures_util::TryStreamExt;
use projector::reconcile::{LAST_SWEEP_KEY, LastSweep};
use runtime::nats::Nats;
use serde_json::{Value, json};
use store::log::{EventLog, ReadFrom};
use store::messages;
use testkit::eventually;
use testkit::nats::inbox_is_drained;

/// Where they signed in from: nobody else did.
pub const SIGN_UP_IP: &str = "203.0.113.77";
pub const SIGN_IN_IP: &str = "198.51.100.23";

/// An installation, and who is to be forgotten there.
pub struct World {
    pub system: System,
    pub nats: Nats,
    pub log: EventLog,
}

/// A user of the test, with everything that names them.
pub struct Person {
    pub pk: i64,
    pub uuid: String,
    pub strings: BTreeSet<String>,
}

impl Person {
    pub fn is_called(&mut self, text: &str) {
        // As authentik escapes it, too.
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

    /// Signs up, and is called so.
    pub async fn sign_up(&self, username: &str, name: &str, ip: &str) -> Person {
        let authentik = &self.system.authentik;
        let email = format!("{username}@home.example");
        let fields = [
            ("username", username),
            ("name", name),
            ("email", email.as_str()),
            ("password", "correct horse"),
        ];
        authentik.flow("authentik-events-enrollment", &fields, ip).await;
        let state = authentik.state().await;
        let user = state["users"].as_array().unwrap().iter().find(|user| user["username"] == username);
        let pk = user.unwrap()["pk"].as_i64().unwrap();
        let user = authentik.find_user(pk).await.unwrap();
        let uuid = user["uuid"].as_str().unwrap().to_owned();
        let mut person = Person { pk, uuid: uuid.clone(), strings: BTreeSet::new() };
        for text in [username, name, &email, &uuid, &uuid.replace('-', ""), user["uid"].as_str().unwrap()] {
            person.is_called(text);
        }
        // Who is changed before anybody looked is recorded as they are then.
        self.all_is_told().await;
        person
    }

    /// Fails to sign in, is renamed, gets a badge, joins a group, and changes somebody else.
    pub async fn live(&self, person: &mut Person, group: &str, other: i64) {
        let authentik = &self.system.authentik;
        let username = authentik.find_user(person.pk).await.unwrap()["username"].as_str().unwrap().to_owned();
        let wrong = [("username", username.as_str()), ("password", "wrong")];
        authentik.flow("default-authentication-flow", &wrong, SIGN_IN_IP).await;
        let (name, badge) = (format!("Née {username}"), format!("badge-of-{username}"));
        authentik.update_user(person.pk, json!({"name": name, "attributes": {"badge": badge}})).await;
        person.is_called(&name);
        person.is_called(&badge);
        authentik.add_to_group(group, person.pk).await;
        let model = json!({"app": "authentik_core", "model_name": "user", "pk": other, "name": "somebody"});
        authentik.emit("model_updated", person.pk, json!({"model": model})).await;
    }

    /// A webhook of theirs that no retry can mend.
    pub async fn break_a_webhook(&self, person: &Person) {
        let model = json!({"app": "authentik_core", "model_name": "user", "pk": "none", "name": person.uuid.replace('-', "")});
        self.system.authentik.emit("model_updated", person.pk, json!({"model": model})).await;
    }

    pub async fn all_is_told(&self) {
        eventually("every webhook is delivered", || async {
            (self.system.authentik.n_pending().await == 0).then_some(())
        })
        .await;
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

    /// Deletes them, which authentik tells.
    pub async fn delete(&self, people: &[&Person]) {
        self.all_is_told().await;
        for person in people {
            self.system.authentik.delete_user(person.pk).await;
        }
        self.all_is_told().await;
        for person in people {
            eventually("the deletion is recorded", || async {
                (self.types_of(person.pk).await.last() == Some(&"user-deleted")).then_some(())
            })
            .await;
        }
    }

    pub async fn swept(&self) {
        let meta = self.nats.namespace.meta_bucket();
        let before = runtime::clock::now();
        eventually("a full pass that began now is completed", || async {
            let last = store::views::read::<LastSweep>(&self.nats, &meta, LAST_SWEEP_KEY).await.ok()??;
            (last.value.began > before).then_some(())
        })
        .await;
    }

    /// Runs a command that must succeed, and print JSON.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let (status, printed, said) = self.system.command(&[arguments, &["--json"]].concat()).await;
        assert_eq!(status, 0, "{arguments:?}: {said}");
        serde_json::from_str(&printed).unwrap()
    }

    /// Strings of theirs that stand in a file of nats-server.
    pub fn on_disk(&self, person: &Person) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        search(&self.system.nats.as_server().store_dir(), &person.strings, &mut found);
        found
    }

    /// What the test looks for can be found.
    pub async fn everything_is_on_disk_of(&self, person: &Person) {
        for text in &person.strings {
            eventually(&format!("{text:?} is on disk"), || async {
                self.on_disk(person).contains(text).then_some(())
            })
            .await;
        }
    }

    /// The server deletes the files of a stream in the background.
    pub async fn nothing_is_left_of(&self, person: &Person) {
        eventually(&format!("nothing of user {} is on disk", person.pk), || async {
            let left = self.on_disk(person);
            left.is_empty().then_some(())
        })
        .await;
    }

    pub async fn every_projection_holds(&self) {
        for name in ["users", "groups", "activity"] {
            let verified = self.json(&["verify", name]).await;
            assert_eq!(verified["served"], verified["expected"], "{name}");
        }
    }

    pub async fn generations(&self) -> Vec<u64> {
        let status = self.json(&["status"]).await;
        status["projections"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["generation"].as_u64())
            .collect()
    }

    pub async fn events_of(&self, pk: i64) -> Value {
        let (status, page) = self.system.ask(&format!("/api/users/{pk}/events"), "akadmin").await;
        assert_eq!(status, 200);
        page["events"].clone()
    }

    pub async fn dead_letters(&self) -> usize {
        self.json(&["dead-letters", "list"]).await.as_array().unwrap().len()
    }

    /// Begins to erase, and kills it when it has come to some point; it may be faster.
    pub async fn kill_forget(&self, user: &str, when: &str, mut is_there: impl AsyncFnMut(&Self) -> bool) {
        let mut forget = self.system.start_command(&["forget", user]);
        loop {
            if let Some(status) = forget.try_wait().unwrap() {
                assert!(status.success(), "forget failed before {when}");
                return;
            }
            if is_there(self).await {
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
        // A directory can go away while it is read.
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            search(&entry.path(), strings, found);
        }
        return;
    }
    let content = std::fs::read(path).unwrap_or_default();
    let has = |text: &str| content.windows(text.len()).any(|window| window == text.as_bytes());
    found.extend(strings.iter().filter(|text| has(text)).cloned());
}
