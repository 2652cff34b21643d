//! A new generation beside the live one.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use projector::projections::ProjectionName;
use runtime::CancellationToken;
use serde_json::json;
use store::{generations, views};
use testkit::eventually;
use tokio::process::Command;
use tokio::task::block_in_place;

use super::support::World;

const USERS: ProjectionName = ProjectionName::Users;

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_what_live_folding_made_and_takes_its_place() {
    let world = World::new().await;
    let projector = world.projector(0).await;
    world.register(1..=50).await;
    let live = world.served(1).await;
    let shutdown = CancellationToken::new();
    for name in ProjectionName::ALL {
        let rebuilt = world.projections.rebuild(name, |_, _| {}, &shutdown).await.unwrap().unwrap();
        assert_eq!((rebuilt.generation, rebuilt.replaced, rebuilt.sequence), (2, Some(1), 50));
        if name == USERS {
            assert_eq!((rebuilt.fingerprint, rebuilt.n_views), (live.clone(), 50));
        }
        assert_eq!(world.generation(name.as_str()).await, Some(2));
    }
    // The projector that runs follows: what is recorded later is in the new generation, and the old one goes.
    world.register(51..=60).await;
    assert_ne!(world.served(2).await, live);
    for name in ProjectionName::ALL {
        eventually("the old generation is deleted", || async {
            let left = generations::list(&world.nats, name.as_str()).await.unwrap();
            (left == BTreeSet::from([2])).then_some(())
        })
        .await;
    }
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_during_a_rebuild_is_in_it() {
    let world = World::new().await;
    world.register(1..=20).await;
    let handle = tokio::runtime::Handle::current();
    let mut is_first = true;
    let record_once = |_, _| {
        if std::mem::take(&mut is_first) {
            block_in_place(|| handle.block_on(world.register(21..=30)));
        }
    };
    let rebuilt = world.projections.rebuild(USERS, record_once, &CancellationToken::new()).await;
    let rebuilt = rebuilt.unwrap().unwrap();
    assert_eq!((rebuilt.generation, rebuilt.sequence, rebuilt.n_views), (1, 30, 30));
    assert_eq!(world.served(1).await, rebuilt.fingerprint);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_newest_event_holds_nobody_up() {
    let world = World::new().await;
    world.register(1..=3).await;
    let events = world.nats.jetstream.get_stream(world.nats.namespace.events_stream()).await.unwrap();
    let handle = tokio::runtime::Handle::current();
    // One is gone before, the next one while the rebuild waits for it.
    events.delete_message(3).await.unwrap();
    let mut is_first = true;
    let erase_once = |_, _| {
        if std::mem::take(&mut is_first) {
            block_in_place(|| handle.block_on(events.delete_message(2))).unwrap();
        }
    };
    let rebuilt = world.projections.rebuild(USERS, erase_once, &CancellationToken::new()).await;
    assert_eq!(rebuilt.unwrap().unwrap().sequence, 1);
    world.served(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_rebuild_leaves_everything_as_it_was() {
    let world = World::new().await;
    world.register(1..=20).await;
    let go_on = CancellationToken::new();
    world.projections.rebuild(USERS, |_, _| {}, &go_on).await.unwrap();
    let before = world.served(1).await;
    let shutdown = CancellationToken::new();
    let cancelled = world.projections.rebuild(USERS, |_, _| shutdown.cancel(), &shutdown).await;
    assert_eq!(cancelled.unwrap(), None);
    assert_eq!(world.served(1).await, before);
    assert_eq!(generations::list(&world.nats, "users").await.unwrap(), BTreeSet::from([1]));
    // The lease was given back: nothing is waited for.
    let again = world.projections.rebuild(USERS, |_, _| {}, &go_on).await.unwrap().unwrap();
    assert_eq!((again.generation, again.fingerprint), (2, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rebuild_leaves_the_pointer_and_the_next_one_begins_anew() {
    let world = World::new().await;
    world.register(1..=20).await;
    let go_on = CancellationToken::new();
    world.projections.rebuild(USERS, |_, _| {}, &go_on).await.unwrap();
    let before = world.served(1).await;
    let (began, begins) = mpsc::channel();
    let (killed, is_killed) = mpsc::channel::<()>();
    let projections = world.projections.clone();
    let doomed = tokio::spawn(async move {
        let wait = move |_, _| {
            // Both ends are gone after the first time.
            let _ = began.send(());
            let _ = block_in_place(|| is_killed.recv());
        };
        projections.rebuild(USERS, wait, &CancellationToken::new()).await
    });
    block_in_place(|| begins.recv()).unwrap();
    doomed.abort();
    drop(killed);
    assert!(doomed.await.unwrap_err().is_cancelled());
    assert_eq!(world.served(1).await, before);
    let left = generations::list(&world.nats, "users").await.unwrap();
    assert_eq!(left, BTreeSet::from([1, 2]), "half of generation 2 was left behind");
    // What was left behind must not be in what is built next.
    let bucket = world.nats.namespace.projection_bucket("users", 2);
    views::write(&world.nats, &bucket, "999", &json!({"not": "a view"}), 0).await.unwrap();
    let again = world.projections.rebuild(USERS, |_, _| {}, &go_on).await.unwrap().unwrap();
    assert_eq!((again.generation, again.fingerprint.clone()), (2, before));
    assert_eq!(world.served(2).await, again.fingerprint);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rebuilds_at_once_refuse_each_other() {
    let world = World::new().await;
    world.register(1..=5).await;
    let nats = world.nats.clone();
    let other = tokio::spawn(async move {
        let (meta, mut revision) = (nats.namespace.meta_bucket(), 0);
        let mut renewals = tokio::time::interval(Duration::from_millis(200));
        loop {
            renewals.tick().await;
            let lease = json!({"holder": "process 7 on other"});
            revision =
                views::write(&nats, &meta, "lease.rebuild.users", &lease, revision).await.unwrap().sequence;
        }
    });
    let meta = world.nats.namespace.meta_bucket();
    eventually("the other one holds the lease", || async {
        views::read::<serde_json::Value>(&world.nats, &meta, "lease.rebuild.users").await.unwrap()
    })
    .await;
    let (status, printed, said) = world.command(&["rebuild", "users"]).await;
    assert_eq!((status, printed.as_str()), (1, ""));
    assert!(said.contains("users is being rebuilt already, by process 7 on other"), "{said}");
    assert_eq!(generations::list(&world.nats, "users").await.unwrap(), BTreeSet::new());
    // Another projection is no concern of theirs.
    assert_eq!(world.json(&["rebuild", "groups"]).await["generation"], 1);
    other.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_in_the_middle_of_a_rebuild_leaves_readers_alone() {
    let world = World::new().await;
    world.register(1..=5000).await;
    let before = world.json(&["rebuild", "users"]).await["fingerprint"].clone();
    for (signal, left) in [("-TERM", BTreeSet::from([1])), ("-KILL", BTreeSet::from([1, 2]))] {
        let rebuild = world.start_command(&["rebuild", "users"]);
        eventually("the new generation is begun", || async {
            let begun = generations::list(&world.nats, "users").await.unwrap();
            begun.contains(&2).then_some(())
        })
        .await;
        let pid = rebuild.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
        let output = rebuild.wait_with_output().await.unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert_eq!(world.generation("users").await, Some(1));
        assert_eq!(generations::list(&world.nats, "users").await.unwrap(), left);
    }
    let again = world.json(&["rebuild", "users"]).await;
    assert_eq!((&again["generation"], &again["fingerprint"]), (&json!(2), &before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_rebuild_in_time_while_nats_hangs() {
    let world = World::new().await;
    world.register(1..=5000).await;
    let before = world.json(&["rebuild", "users"]).await["fingerprint"].clone();
    let rebuild = world.start_command(&["rebuild", "users"]);
    eventually("the new generation is begun", || async {
        let begun = generations::list(&world.nats, "users").await.unwrap();
        begun.contains(&2).then_some(())
    })
    .await;
    world.server.pause().await;
    let pid = rebuild.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let ended = tokio::time::timeout(Duration::from_secs(10), rebuild.wait_with_output()).await;
    let output = ended.unwrap().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");

    world.server.resume().await;
    eventually("NATS answers", || async { generations::list(&world.nats, "users").await.ok() }).await;
    assert_eq!(world.generation("users").await, Some(1));
    let again = world.json(&["rebuild", "users"]).await;
    assert_eq!((&again["generation"], &again["fingerprint"]), (&json!(2), &before));
}
