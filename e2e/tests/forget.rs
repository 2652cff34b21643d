//! `projector forget` on a whole installation: nothing of the user is left on disk, everybody else is as before.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::path::Path;

use async_nats::jetstream::consumer::pull::OrderedConfig;
use domain::event::{EventBody, Recorded};
use domain::hint::ERASED_BODY;
use domain::history;
use domain::key::Entity;
use e2e::System;
use futures_util::TryStreamExt;
use projector::sweep::{LAST_SWEEP_KEY, LastSweep};
use runtime::nats::Nats;
use serde_json::{Value, json};
use store::log::{EventLog, From};
use store::messages;
use testkit::eventually;
use testkit::nats::inbox_is_worked_off;

/// Where they signed in from: nobody else did.
const SIGN_UP_IP: &str = "203.0.113.77";
const SIGN_IN_IP: &str = "198.51.100.23";

/// An installation, and who is to be forgotten there.
struct World {
    system: System,
    nats: Nats,
    log: EventLog,
}

/// A user of the test, with everything that names them.
struct Person {
    pk: i64,
    uuid: String,
    strings: BTreeSet<String>,
}

impl Person {
    fn is_called(&mut self, text: &str) {
        // As authentik escapes it, too.
        let escaped = text
            .chars()
            .map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) });
        self.strings.extend([text.to_owned(), escaped.collect()]);
    }
}

impl World {
    async fn start() -> Self {
        let system = System::start().await;
        let nats = system.nats.connect().await;
        let log = EventLog::open(&nats).await.unwrap();
        Self { system, nats, log }
    }

    /// Signs up, and is called so.
    async fn sign_up(&self, username: &str, name: &str, ip: &str) -> Person {
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
    async fn live(&self, person: &mut Person, group: &str, other: i64) {
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
    async fn break_a_webhook(&self, person: &Person) {
        let model = json!({"app": "authentik_core", "model_name": "user", "pk": "none", "name": person.uuid.replace('-', "")});
        self.system.authentik.emit("model_updated", person.pk, json!({"model": model})).await;
    }

    async fn all_is_told(&self) {
        eventually("every webhook is delivered", || async {
            (self.system.authentik.n_pending().await == 0).then_some(())
        })
        .await;
        inbox_is_worked_off(&self.nats).await;
    }

    async fn types_of(&self, pk: i64) -> Vec<&'static str> {
        let recorded = self.recorded(Some(pk)).await;
        recorded.iter().map(|recorded| recorded.event.body.event_type().as_str()).collect()
    }

    async fn recorded(&self, pk: Option<i64>) -> Vec<Recorded> {
        let filter = self.log.namespace().events_filter(pk.map(Entity::User), None);
        let mut events: Vec<Recorded> = vec![];
        loop {
            let from = From::Sequence(events.last().map_or(1, |event| event.sequence + 1));
            let page = self.log.page(&filter, from, 256).await.unwrap();
            if page.is_empty() {
                return events;
            }
            events.extend(page.iter().map(|message| message.decode().unwrap()));
        }
    }

    /// Deletes them, which authentik tells.
    async fn delete(&self, people: &[&Person]) {
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

    async fn swept(&self) {
        let meta = self.nats.namespace.meta_bucket();
        let before = runtime::clock::now();
        eventually("a full pass that began now is completed", || async {
            let last = store::views::read::<LastSweep>(&self.nats, &meta, LAST_SWEEP_KEY).await.ok()??;
            (last.value.began > before).then_some(())
        })
        .await;
    }

    /// Runs a command that must succeed, and print JSON.
    async fn json(&self, arguments: &[&str]) -> Value {
        let (status, printed, said) = self.system.command(&[arguments, &["--json"]].concat()).await;
        assert_eq!(status, 0, "{arguments:?}: {said}");
        serde_json::from_str(&printed).unwrap()
    }

    /// Strings of theirs that stand in a file of nats-server.
    fn on_disk(&self, person: &Person) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        search(&self.system.nats.store_dir(), &person.strings, &mut found);
        found
    }

    /// What the test looks for can be found.
    async fn everything_is_on_disk_of(&self, person: &Person) {
        for text in &person.strings {
            eventually(&format!("{text:?} is on disk"), || async {
                self.on_disk(person).contains(text).then_some(())
            })
            .await;
        }
    }

    /// The server deletes the files of a stream in the background.
    async fn nothing_is_left_of(&self, person: &Person) {
        eventually(&format!("nothing of user {} is on disk", person.pk), || async {
            let left = self.on_disk(person);
            left.is_empty().then_some(())
        })
        .await;
    }

    async fn every_projection_holds(&self) {
        for name in ["users", "groups", "activity"] {
            let verified = self.json(&["verify", name]).await;
            assert_eq!(verified["served"], verified["expected"], "{name}");
        }
    }

    async fn generations(&self) -> Vec<u64> {
        let status = self.json(&["status"]).await;
        status["projections"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["generation"].as_u64())
            .collect()
    }

    async fn events_of(&self, pk: i64) -> Value {
        let (status, page) = self.system.ask(&format!("/api/users/{pk}/events"), "akadmin").await;
        assert_eq!(status, 200);
        page["events"].clone()
    }

    async fn dead_letters(&self) -> usize {
        self.json(&["dead-letters", "list"]).await.as_array().unwrap().len()
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

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_erased_users_is_left_and_everybody_else_is_as_before() {
    let world = World::start().await;
    let authentik = &world.system.authentik;
    let group = authentik.create_group("engineers").await;
    let mut bob = world.sign_up("bob.builder", "Böb Builder", "192.0.2.99").await;
    let mut mary = world.sign_up("mary", "Märy Jackson", SIGN_UP_IP).await;
    let mut tom = world.sign_up("tom_3", "Tom", SIGN_UP_IP).await;
    mary.strings.extend([SIGN_UP_IP.to_owned(), SIGN_IN_IP.to_owned()]);
    for person in [&mut mary, &mut tom] {
        world.live(person, &group, bob.pk).await;
        world.break_a_webhook(person).await;
    }
    bob.is_called("192.0.2.99");
    world.break_a_webhook(&bob).await;
    world.all_is_told().await;
    eventually("three dead letters", || async { (world.dead_letters().await == 3).then_some(()) }).await;

    // Who exists is not erased, also where somebody else is gone.
    let n_events = world.recorded(None).await.len();
    let (status, printed, said) = world.system.command(&["forget", "mary", &tom.uuid]).await;
    assert_eq!((status, printed.as_str()), (1, ""));
    assert!(said.contains("still exists in authentik") && said.contains("nothing was erased"), "{said}");
    assert_eq!(world.recorded(None).await.len(), n_events);

    world.delete(&[&mary, &tom]).await;
    let mut feed = world.system.feed().await;
    feed.read_until("the deletion is there", |received| {
        received.iter().filter(|received| received.event == "user-deleted").count() == 2
    })
    .await;
    for person in [&mary, &tom, &bob] {
        world.everything_is_on_disk_of(person).await;
    }
    let (before, generations) = (world.events_of(bob.pk).await, world.generations().await);

    let erased = world.json(&["forget", "mary", &tom.uuid]).await;
    assert_eq!(erased["n_dead_letters"], 2);
    assert!(erased["n_deliveries"].as_u64().unwrap() > 10, "{erased}");
    for person in [&mary, &tom] {
        world.nothing_is_left_of(person).await;
    }
    // Nor does authentik's event log bring it back, which is read again.
    world.swept().await;
    world.all_is_told().await;
    for person in [&mary, &tom] {
        world.nothing_is_left_of(person).await;
        let recorded = world.recorded(Some(person.pk)).await;
        let [receipt] = &recorded[..] else { panic!("{recorded:?}") };
        let cause = receipt.event.causationid.as_str();
        assert!(cause.starts_with("erasure-") && receipt.event.channel == domain::event::Channel::Api);
        let data = serde_json::to_value(&receipt.event.body).unwrap();
        assert_eq!(data, json!({"user": {"pk": person.pk}, "trigger": {"action": "forget"}}));
    }
    assert_eq!(world.on_disk(&bob), bob.strings);
    assert_eq!(world.dead_letters().await, 1);
    assert_eq!(world.events_of(bob.pk).await, before);
    assert_eq!(world.generations().await, generations.iter().map(|before| before + 1).collect::<Vec<_>>());
    world.every_projection_holds().await;

    for person in [&mary, &tom] {
        for path in ["", "/events"] {
            let path = format!("/api/users/{}{path}", person.pk);
            assert_eq!(world.system.ask(&path, "akadmin").await.0, 404, "{path}");
        }
    }
    let (_, page) = world.system.ask("/api/events?limit=500", "akadmin").await;
    assert!(mary.strings.iter().all(|text| !page.to_string().contains(text)), "{page}");
    // Who listened since before goes on.
    authentik.update_user(bob.pk, json!({"name": "Bob the builder"})).await;
    feed.read_until("the feed goes on", |received| {
        received.last().is_some_and(|last| last.event == "user-updated")
    })
    .await;
    assert_eq!(feed.types_of(mary.pk).last().map(String::as_str), Some("user-erased"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_exists_and_is_erased_by_force_is_registered_anew() {
    let world = World::start().await;
    let group = world.system.authentik.create_group("engineers").await;
    let bob = world.sign_up("bob.builder", "Bob Builder", "192.0.2.99").await;
    let mut mary = world.sign_up("mary", "Märy Jackson", SIGN_UP_IP).await;
    mary.strings = BTreeSet::from([SIGN_UP_IP.to_owned(), SIGN_IN_IP.to_owned()]);
    world.live(&mut mary, &group, bob.pk).await;
    world.all_is_told().await;
    let erased = world.json(&["forget", "--force", &mary.pk.to_string()]).await;
    eventually("the user is registered anew", || async {
        (world.types_of(mary.pk).await == ["user-erased", "user-registered"]).then_some(())
    })
    .await;
    assert!(erased["users"][0]["n_events"].as_u64().unwrap() > 1, "{erased}");
    let bodies: Vec<EventBody> =
        world.recorded(Some(mary.pk)).await.into_iter().map(|recorded| recorded.event.body).collect();
    assert_eq!(history::check(&bodies), Ok(()));
    world.every_projection_holds().await;
    let (_, groups) = world.system.ask("/api/groups?search=engineers", "akadmin").await;
    assert_eq!(groups["groups"][0]["n_members"], 1);
    // What was true before is gone, though they exist.
    for ip in [SIGN_UP_IP, SIGN_IN_IP] {
        mary.strings = BTreeSet::from([ip.to_owned()]);
        world.nothing_is_left_of(&mary).await;
    }
}

impl World {
    /// Begins to erase, and kills it when it has come to some point; it may be faster.
    async fn kill_forget(&self, user: &str, when: &str, mut is_there: impl AsyncFnMut(&Self) -> bool) {
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

    async fn n_replaced(&self) -> usize {
        let inbox = self.nats.namespace.inbox_stream();
        let all = messages::all(&self.nats, &inbox, OrderedConfig::default()).await.unwrap();
        let all: Vec<_> = all.try_collect().await.unwrap();
        all.iter().filter(|placed| placed.message.payload == ERASED_BODY).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_is_killed_anywhere_is_finished_by_the_next_one() {
    let mut world = World::start().await;
    let bob = world.sign_up("bob.builder", "Bob Builder", "192.0.2.99").await;
    let mut mary = world.sign_up("mary", "Märy Jackson", SIGN_UP_IP).await;
    for _ in 0..200 {
        world.system.authentik.emit("login", mary.pk, json!({})).await;
    }
    mary.is_called(SIGN_UP_IP);
    world.delete(&[&mary]).await;

    // Without a projector the inbox is waited for.
    world.system.kill_projectors().await;
    world.system.authentik.update_user(bob.pk, json!({"name": "Bob the builder"})).await;
    eventually("the webhook is delivered", || async {
        (world.system.authentik.n_pending().await == 0).then_some(())
    })
    .await;
    let receipt = async |world: &World| world.types_of(mary.pk).await.last() == Some(&"user-erased");
    world.kill_forget("mary", "the receipt is there", receipt).await;
    let (status, _, said) = world.system.command(&["forget", "mary", "--wait", "1"]).await;
    assert!(status == 1 && said.contains("the inbox is not being worked off"), "{said}");
    assert_eq!(world.n_replaced().await, 0, "nothing but the receipt was written");
    assert!(world.on_disk(&mary).contains("mary@home.example"));
    world.system.restart_projectors().await;
    world.nats = world.system.nats.connect().await;

    // The views have forgotten the name; the events that are left have not.
    world.kill_forget("mary", "a delivery is replaced", async |world| world.n_replaced().await > 0).await;
    let n_events = world.types_of(mary.pk).await.len();
    let events_go = async |world: &World| world.types_of(mary.pk).await.len() < n_events;
    world.kill_forget(&mary.uuid, "an event is erased", events_go).await;
    let pk = mary.pk.to_string();
    let generation = async |world: &World| {
        !store::generations::list(&world.nats, "users").await.unwrap().is_subset(&BTreeSet::from([1]))
    };
    world.kill_forget(&pk, "a generation is being built", generation).await;

    world.json(&["forget", &pk]).await;
    world.nothing_is_left_of(&mary).await;
    assert_eq!(world.types_of(mary.pk).await, ["user-erased"]);
    eventually("the hint about somebody else was not lost", || async {
        world.types_of(bob.pk).await.contains(&"user-updated").then_some(())
    })
    .await;
    assert!(world.on_disk(&bob).contains("bob.builder"));
    world.every_projection_holds().await;
}
