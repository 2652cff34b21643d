//! `projector forget` on a whole installation: nothing of the user is left on disk, everybody else is as before.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod world;

use std::collections::BTreeSet;

use domain::event::{Channel, EventBody};
use domain::history;
use serde_json::json;
use testkit::eventually;

use world::{Person, SIGN_IN_IP, SIGN_UP_IP, World};

async fn only_the_receipt_is_left(world: &World, person: &Person) {
    let recorded = world.recorded(Some(person.pk)).await;
    let [receipt] = &recorded[..] else { panic!("{recorded:?}") };
    assert!(receipt.event.causationid.as_str().starts_with("erasure-"));
    assert_eq!(receipt.event.channel, Channel::Api);
    let data = serde_json::to_value(&receipt.event.body).unwrap();
    assert_eq!(data, json!({"user": {"pk": person.pk}, "trigger": {"action": "forget"}}));
    for path in ["", "/events"] {
        let path = format!("/api/users/{}{path}", person.pk);
        assert_eq!(world.system.ask(&path, "akadmin").await.0, 404, "{path}");
    }
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
        only_the_receipt_is_left(&world, person).await;
    }
    assert_eq!(world.on_disk(&bob), bob.strings);
    assert_eq!(world.dead_letters().await, 1);
    assert_eq!(world.events_of(bob.pk).await, before);
    assert_eq!(world.generations().await, generations.iter().map(|before| before + 1).collect::<Vec<_>>());
    world.every_projection_holds().await;

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
