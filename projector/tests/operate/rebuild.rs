//! Rebuilds beside the live generation.

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
async fn a_rebuild_equals_the_live_generation_and_replaces_it() {
    let world = World::new().await;
    let projector = world.start_projector(0).await;
    world.register(1..=50).await;
    let live = world.wait_until_served(1).await;
    let shutdown = CancellationToken::new();
    for name in ProjectionName::ALL {
        let rebuilt = world.projections.rebuild(name, |_, _| {}, &shutdown).await.unwrap().unwrap();
        assert_eq!((rebuilt.generation, rebuilt.replaced, rebuilt.sequence), (2, Some(1), 50));
        if name == USERS {
            assert_eq!((rebuilt.fingerprint, rebuilt.n_views), (live.clone(), 50));
        }
        assert_eq!(world.generation(name.as_str()).await, Some(2));
    }
    // The running projector folds later events into the new generation and deletes the old one.
    world.register(51..=60).await;
    assert_ne!(world.wait_until_served(2).await, live);
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
async fn a_rebuild_includes_events_that_are_recorded_meanwhile() {
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
    assert_eq!(world.wait_until_served(1).await, rebuilt.fingerprint);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_ends_although_the_newest_event_is_erased() {
    let world = World::new().await;
    world.register(1..=3).await;
    let events = world.nats.jetstream.get_stream(world.nats.namespace.events_stream()).await.unwrap();
    let handle = tokio::runtime::Handle::current();
    // The newest event is erased before the rebuild, the next one while the rebuild waits for it.
    events.delete_message(3).await.unwrap();
    let mut is_first = true;
    let erase_once = |_, _| {
        if std::mem::take(&mut is_first) {
            block_in_place(|| handle.block_on(events.delete_message(2))).unwrap();
        }
    };
    let rebuilt = world.projections.rebuild(USERS, erase_once, &CancellationToken::new()).await;
    assert_eq!(rebuilt.unwrap().unwrap().sequence, 1);
    world.wait_until_served(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_rebuild_changes_nothing() {
    let world = World::new().await;
    world.register(1..=20).await;
    let go_on = CancellationToken::new();
    world.projections.rebuild(USERS, |_, _| {}, &go_on).await.unwrap();
    let before = world.wait_until_served(1).await;
    let shutdown = CancellationToken::new();
    let cancelled = world.projections.rebuild(USERS, |_, _| shutdown.cancel(), &shutdown).await;
    assert_eq!(cancelled.unwrap(), None);
    assert_eq!(world.wait_until_served(1).await, before);
    assert_eq!(generations::list(&world.nats, "users").await.unwrap(), BTreeSet::from([1]));
    // The lease was given back, so the next rebuild starts immediately.
    let again = world.projections.rebuild(USERS, |_, _| {}, &go_on).await.unwrap().unwrap();
    assert_eq!((again.generation, again.fingerprint), (2, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rebuild_leaves_the_pointer_and_the_next_one_starts_from_the_beginning() {
    let world = World::new().await;
    world.register(1..=20).await;
    let go_on = CancellationToken::new();
    world.projections.rebuild(USERS, |_, _| {}, &go_on).await.unwrap();
    let before = world.wait_until_served(1).await;
    let (began, begins) = mpsc::channel();
    let (killed, is_killed) = mpsc::channel::<()>();
    let projections = world.projections.clone();
    let doomed = tokio::spawn(async move {
        let wait = move |_, _| {
            // Both other ends are dropped after the first call.
            let _ = began.send(());
            let _ = block_in_place(|| is_killed.recv());
        };
        projections.rebuild(USERS, wait, &CancellationToken::new()).await
    });
    block_in_place(|| begins.recv()).unwrap();
    doomed.abort();
    drop(killed);
    assert!(doomed.await.unwrap_err().is_cancelled());
    assert_eq!(world.wait_until_served(1).await, before);
    let left = generations::list(&world.nats, "users").await.unwrap();
    assert_eq!(left, BTreeSet::from([1, 2]), "the unfinished generation 2 still exists");
    // The next rebuild must not keep views of the unfinished generation.
    let bucket = world.nats.namespace.projection_bucket("users", 2);
    views::write(&world.nats, &bucket, "999", &json!({"not": "a view"}), 0).await.unwrap();
    let again = world.projections.rebuild(USERS, |_, _| {}, &go_on).await.unwrap().unwrap();
    assert_eq!((again.generation, again.fingerprint.clone()), (2, before));
    assert_eq!(world.wait_until_served(2).await, again.fingerprint);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_is_refused_while_another_one_holds_the_lease() {
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
    eventually("the other rebuild holds the lease", || async {
        views::read::<serde_json::Value>(&world.nats, &meta, "lease.rebuild.users").await.unwrap()
    })
    .await;
    let (status, stdout, stderr) = world.run(&["rebuild", "users"]).await;
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(stderr.contains("users is already being rebuilt by process 7 on other"), "{stderr}");
    assert_eq!(generations::list(&world.nats, "users").await.unwrap(), BTreeSet::new());
    // The lease does not affect other projections.
    assert_eq!(world.run_json(&["rebuild", "groups"]).await["generation"], 1);
    other.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_a_rebuild_does_not_affect_readers() {
    let world = World::new().await;
    world.register(1..=5000).await;
    let before = world.run_json(&["rebuild", "users"]).await["fingerprint"].clone();
    for (signal, left) in [("-TERM", BTreeSet::from([1])), ("-KILL", BTreeSet::from([1, 2]))] {
        let rebuild = world.start_binary(&["rebuild", "users"]);
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
    let again = world.run_json(&["rebuild", "users"]).await;
    assert_eq!((&again["generation"], &again["fingerprint"]), (&json!(2), &before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_rebuild_within_the_deadline_while_nats_hangs() {
    let world = World::new().await;
    world.register(1..=5000).await;
    let before = world.run_json(&["rebuild", "users"]).await["fingerprint"].clone();
    let rebuild = world.start_binary(&["rebuild", "users"]);
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
    let again = world.run_json(&["rebuild", "users"]).await;
    assert_eq!((&again["generation"], &again["fingerprint"]), (&json!(2), &before));
}
