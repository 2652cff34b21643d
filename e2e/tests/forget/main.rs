//! `projector forget` leaves no data of the user on disk, and other users are unchanged.
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
        assert_eq!(world.system.get(&path, "akadmin").await.0, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_data_of_erased_users_is_left_and_other_users_are_unchanged() {
    let world = World::start().await;
    let authentik = &world.system.authentik;
    let group = authentik.create_group("engineers").await;
    let mut bob = world.sign_up("bob.builder", "Böb Builder", "192.0.2.99").await;
    let mut mary = world.sign_up("mary", "Märy Jackson", SIGN_UP_IP).await;
    let mut tom = world.sign_up("tom_3", "Tom", SIGN_UP_IP).await;
    mary.strings.extend([SIGN_UP_IP.to_owned(), SIGN_IN_IP.to_owned()]);
    for person in [&mut mary, &mut tom] {
        world.change(person, &group, bob.pk).await;
        world.send_undecodable_webhook(person).await;
    }
    bob.add_identifier("192.0.2.99");
    world.send_undecodable_webhook(&bob).await;
    world.process_webhooks().await;
    eventually("three dead letters", || async { (world.dead_letters().await == 3).then_some(()) }).await;

    // An existing user is not erased, and then neither is the other user in the same command.
    let n_events = world.recorded(None).await.len();
    let (status, stdout, stderr) = world.system.command(&["forget", "mary", &tom.uuid]).await;
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(
        stderr.contains("still exists in authentik") && stderr.contains("nothing was erased"),
        "{stderr}"
    );
    assert_eq!(world.recorded(None).await.len(), n_events);

    world.delete(&[&mary, &tom]).await;
    let mut feed = world.system.feed().await;
    feed.read_until("the deletions are in the feed", |received| {
        received.iter().filter(|received| received.event == "user-deleted").count() == 2
    })
    .await;
    for person in [&mary, &tom, &bob] {
        world.everything_is_on_disk_of(person).await;
    }
    let (before, generations) = (world.events_of(bob.pk).await, world.generations().await);

    let erased = world.system.operate(&["forget", "mary", &tom.uuid]).await;
    assert_eq!(erased["n_dead_letters"], 2);
    assert!(erased["n_deliveries"].as_u64().unwrap() > 10, "{erased}");
    for person in [&mary, &tom] {
        world.nothing_is_left_of(person).await;
    }
    // The sweep reads authentik's event log again, but must not store erased deliveries again.
    world.sweep().await;
    world.process_webhooks().await;
    for person in [&mary, &tom] {
        world.nothing_is_left_of(person).await;
        only_the_receipt_is_left(&world, person).await;
    }
    assert_eq!(world.on_disk(&bob), bob.strings);
    assert_eq!(world.dead_letters().await, 1);
    assert_eq!(world.events_of(bob.pk).await, before);
    assert_eq!(world.generations().await, generations.iter().map(|before| before + 1).collect::<Vec<_>>());
    world.verify_projections().await;

    let (_, page) = world.system.get("/api/events?limit=500", "akadmin").await;
    assert!(mary.strings.iter().all(|text| !page.to_string().contains(text)), "{page}");
    // A subscriber from before the erasure keeps receiving events.
    authentik.update_user(bob.pk, json!({"name": "Bob the builder"})).await;
    feed.read_until("the feed continues", |received| {
        received.last().is_some_and(|last| last.event == "user-updated")
    })
    .await;
    assert_eq!(feed.types_of(mary.pk).last().map(String::as_str), Some("user-erased"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_user_who_is_erased_by_force_is_registered_again() {
    let world = World::start().await;
    let group = world.system.authentik.create_group("engineers").await;
    let bob = world.sign_up("bob.builder", "Bob Builder", "192.0.2.99").await;
    let mut mary = world.sign_up("mary", "Märy Jackson", SIGN_UP_IP).await;
    mary.strings = BTreeSet::from([SIGN_UP_IP.to_owned(), SIGN_IN_IP.to_owned()]);
    world.change(&mut mary, &group, bob.pk).await;
    world.process_webhooks().await;
    let erased = world.system.operate(&["forget", "--force", &mary.pk.to_string()]).await;
    eventually("the user is registered again", || async {
        (world.types_of(mary.pk).await == ["user-erased", "user-registered"]).then_some(())
    })
    .await;
    assert!(erased["users"][0]["n_events"].as_u64().unwrap() > 1, "{erased}");
    let bodies: Vec<EventBody> =
        world.recorded(Some(mary.pk)).await.into_iter().map(|recorded| recorded.event.body).collect();
    assert_eq!(history::check(&bodies), Ok(()));
    world.verify_projections().await;
    let (_, groups) = world.system.get("/api/groups?search=engineers", "akadmin").await;
    assert_eq!(groups["groups"][0]["n_members"], 1);
    // Data from before the erasure is gone, although the user exists.
    for ip in [SIGN_UP_IP, SIGN_IN_IP] {
        mary.strings = BTreeSet::from([ip.to_owned()]);
        world.nothing_is_left_of(&mary).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_killed_at_any_point_is_completed_by_the_next_one() {
    let mut world = World::start().await;
    let bob = world.sign_up("bob.builder", "Bob Builder", "192.0.2.99").await;
    let mut mary = world.sign_up("mary", "Märy Jackson", SIGN_UP_IP).await;
    for _ in 0..200 {
        world.system.authentik.emit("login", mary.pk, json!({})).await;
    }
    mary.add_identifier(SIGN_UP_IP);
    world.delete(&[&mary]).await;

    // Without a projector, the erasure waits until the inbox is processed.
    world.system.kill_projectors().await;
    world.system.authentik.update_user(bob.pk, json!({"name": "Bob the builder"})).await;
    world.system.authentik.finish_deliveries().await;
    let receipt = async |world: &World| world.types_of(mary.pk).await.last() == Some(&"user-erased");
    world.kill_forget("mary", "the receipt is there", receipt).await;
    let (status, _, stderr) = world.system.command(&["forget", "mary", "--wait", "1"]).await;
    assert!(status == 1 && stderr.contains("the projectors make no progress with the inbox"), "{stderr}");
    assert_eq!(world.n_replaced().await, 0, "only the receipt may be written");
    assert!(world.on_disk(&mary).contains("mary@home.example"));
    world.system.restart_projectors().await;
    world.nats = world.system.nats.connect().await;

    // The views no longer contain the name, but the remaining events do.
    world.kill_forget("mary", "a delivery is replaced", async |world| world.n_replaced().await > 0).await;
    let n_events = world.types_of(mary.pk).await.len();
    let events_go = async |world: &World| world.types_of(mary.pk).await.len() < n_events;
    world.kill_forget(&mary.uuid, "an event is erased", events_go).await;
    let pk = mary.pk.to_string();
    let generation = async |world: &World| {
        !store::generations::list(&world.nats, "users").await.unwrap().is_subset(&BTreeSet::from([1]))
    };
    world.kill_forget(&pk, "a generation is being built", generation).await;

    world.system.operate(&["forget", &pk]).await;
    world.nothing_is_left_of(&mary).await;
    assert_eq!(world.types_of(mary.pk).await, ["user-erased"]);
    eventually("the hint about the other user was not lost", || async {
        world.types_of(bob.pk).await.contains(&"user-updated").then_some(())
    })
    .await;
    assert!(world.on_disk(&bob).contains("bob.builder"));
    world.verify_projections().await;
}
