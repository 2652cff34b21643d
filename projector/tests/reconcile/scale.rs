//! The first import of many users, in a separate process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::event::EventBody;
use serde_json::json;
use testkit::eventually;
use testkit::wait::eventually_within;
use tokio::process::Child;

use crate::support::World;

const N_CHANGES: usize = 200;

/// Starts a projector that runs one full pass, at its start.
fn projector(world: &World) -> Child {
    world.start(&["--sweep-interval=3600"])
}

/// Peak memory of a process, in MiB.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Waits for the second pass of a first import: the first pass had no recorded state to compare with.
async fn imported(world: &World, deadline: Duration) {
    eventually_within(deadline, "all users are imported and were compared again", || async {
        world.last_sweep().await.filter(|last| last.report.n_imported == 0)
    })
    .await;
}

/// Imports users who are all in one group, then changes some memberships without webhooks.
async fn many_users_in_one_group(n_users: u32, deadline: Duration) {
    let world = World::new().await;
    let group = "everybody";
    world.silently(json!({"op": "create_group", "name": group})).await;
    world.silently(json!({"op": "create_users", "count": n_users, "groups": [group]})).await;
    let begin = Instant::now();
    let projector = projector(&world);
    imported(&world, deadline).await;
    let took = begin.elapsed();
    assert_eq!(world.n_single_reads().await, 0);
    world.everything_is_imported_once().await;

    let users = world.members_of(group).await;
    let (leaving, rest) = users.split_at(N_CHANGES / 2);
    let joining = &rest[..N_CHANGES / 2];
    for pk in leaving {
        world.silently(json!({"op": "remove_from_group", "pk": pk, "group": group})).await;
    }
    for pk in joining {
        world.silently(json!({"op": "add_to_group", "pk": pk, "group": "navy"})).await;
    }
    let begin = Instant::now();
    let from = world.log.head().await.unwrap() + 1;
    let caught_up = world.catch_up(&[]).await;
    eprintln!(
        "{n_users} users: imported and compared in {took:.1?}, compared again in {:.1?}; projector {} MiB, test with simulator {} MiB",
        begin.elapsed(),
        peak_mib(projector.id().unwrap()),
        peak_mib(std::process::id())
    );
    assert_eq!(caught_up["n_differing"], N_CHANGES);
    let n_reads = world.n_single_reads().await;
    // The rule reads each user twice. The other reads are of the pinned user.
    assert!(n_reads <= 2 * N_CHANGES as u64 + 5, "{n_reads} users were read singly");
    let recorded = world.recorded_from(from).await;
    let changes: BTreeMap<String, (&str, String)> = recorded
        .iter()
        .flat_map(|(subject, bodies)| bodies.iter().map(move |body| (subject.clone(), body)))
        .map(|(subject, body)| match body {
            EventBody::UserLeftGroup(data) => (subject, ("left", data.group.name.clone())),
            EventBody::UserJoinedGroup(data) => (subject, ("joined", data.group.name.clone())),
            other => panic!("{subject}: {}", other.event_type()),
        })
        .collect();
    let left = leaving.iter().map(|pk| (format!("user/{pk}"), ("left", group.to_owned())));
    let joined = joining.iter().map(|pk| (format!("user/{pk}"), ("joined", "navy".to_owned())));
    assert_eq!(changes, left.chain(joined).collect());
    assert_eq!(recorded.values().flatten().count(), N_CHANGES);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_are_imported_from_pages_alone_and_each_changed_membership_is_found() {
    many_users_in_one_group(3000, Duration::from_mins(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_hundred_thousand_users_are_imported_from_pages_alone() {
    many_users_in_one_group(100_000, Duration::from_mins(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_import_continues_after_its_projector_was_killed() {
    let world = World::new().await;
    world.create_users(4000).await;
    world.control("faults", json!({"rest_delay_ms": 20})).await;
    let mut killed = projector(&world);
    eventually("the import has started", || async { (world.log.head().await.unwrap() > 200).then_some(()) })
        .await;
    killed.kill().await.unwrap();
    assert!(world.log.head().await.unwrap() < 4000, "the import was already complete");
    let _projector = projector(&world);
    imported(&world, Duration::from_mins(1)).await;
    world.everything_is_imported_once().await;
}
