//! The restore drill of `docs/operations.md`: NATS loses everything and is restored from a backup.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::path::Path;

use domain::event::EventType;
use domain::key::Entity;
use e2e::System;
use e2e::backup::Backup;
use e2e::checks::{converged, histories_are_valid, recorded, replay_equals_live};
use e2e::dead_letters::set_aside;
use e2e::user_table::UserTable;
use futures_util::TryStreamExt;
use reqwest::Method;
use runtime::nats::Nats;
use serde_json::json;
use store::log::EventLog;
use testkit::eventually;
use testkit::wait::DEADLINE;

/// A value as `openssl rand` prints it.
const NEW_EPOCH: &str = "5e7e5a";

/// The order in which streams are copied while they are written: each copy may be newer than the ones before it.
///
/// If a copied delivery is already processed, a later copy contains its events or its dead letter.
async fn in_backup_order(nats: &Nats) -> Vec<String> {
    let streams: Vec<_> = nats.jetstream.stream_names().try_collect().await.unwrap();
    let buckets = streams.into_iter().filter(|name| name.starts_with("KV_authentik_"));
    let streams = ["AUTHENTIK_INBOX", "AUTHENTIK_DEAD_LETTERS", "AUTHENTIK_EVENTS"];
    buckets.chain(streams.map(str::to_owned)).collect()
}

/// Copies a directory recursively.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Creates, changes and deletes some users. Returns the deleted one.
async fn make_history(system: &System, name: &str) -> i64 {
    let authentik = &system.authentik;
    let group = authentik.create_group(&format!("{name}-engineers")).await;
    let mut users = vec![];
    for n in 0..6 {
        let pk = authentik.create_user(&format!("{name}-{n}")).await;
        authentik.add_to_group(&group, pk).await;
        authentik.sign_in(pk).await;
        users.push(pk);
    }
    authentik.update_user(users[1], json!({"name": format!("{name} renamed"), "is_active": false})).await;
    authentik.delete_user(users[0]).await;
    converged(system, DEADLINE).await;
    users[0]
}

/// Sets a new epoch, like `nats stream edit AUTHENTIK_EVENTS --metadata epoch:…`.
async fn begin_a_new_epoch(nats: &Nats) {
    let mut events = nats.jetstream.get_stream("AUTHENTIK_EVENTS").await.unwrap();
    let mut config = events.info().await.unwrap().config.clone();
    config.metadata.insert("epoch".to_owned(), NEW_EPOCH.to_owned());
    nats.jetstream.update_stream(config).await.unwrap();
}

/// The status of the API's answer to a client that resumes at this cursor.
async fn resume_status(system: &System, cursor: &str) -> u16 {
    let token = system.authentik.token("akadmin").await;
    let path = format!("/api/events?after={cursor}&limit=1");
    system.call(Method::GET, &path, Some(&token)).await.status().as_u16()
}

/// Checks everything that must hold after a restore.
async fn check_all(system: &System) {
    converged(system, DEADLINE).await;
    histories_are_valid(system).await;
    replay_equals_live(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_moved_while_everything_is_stopped_continues_unchanged() {
    let mut system = System::start().await;
    make_history(&system, "before").await;
    set_aside(&system, "letter").await;
    let mut feed = system.feed().await;
    let n_recorded = recorded(&system).await.len();
    feed.read_until("all", |received| received.len() >= n_recorded).await;
    let cursor = feed.received.last().unwrap().id.clone();
    let epoch = EventLog::open(&system.nats.connect().await).await.unwrap().epoch().to_owned();

    system.terminate().await;
    system.nats.kill().await;
    let store = system.nats.as_server().store_dir();
    let moved = tempfile::tempdir().unwrap();
    copy(&store, moved.path());
    std::fs::remove_dir_all(&store).unwrap();
    copy(moved.path(), &store);
    system.restart_everything().await;

    assert_eq!(EventLog::open(&system.nats.connect().await).await.unwrap().epoch(), epoch);
    assert_eq!(resume_status(&system, &cursor).await, 200);
    let next = system.authentik.create_user("after").await;
    feed.read_until("the next event", |received| {
        received.last().unwrap().data["subject"] == format!("user/{next}").as_str()
    })
    .await;
    let ids: BTreeSet<_> = feed.received.iter().map(|received| &received.id).collect();
    assert_eq!(ids.len(), feed.received.len(), "no event arrives twice");
    assert_eq!(system.operate(&["dead-letters", "list"]).await[0]["id"], "letter");
    check_all(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_projector_catches_up_after_an_old_disk_snapshot_is_restored() {
    let mut system = System::start().await;
    let mut table = UserTable::start(&system);
    let erased = make_history(&system, "before").await;
    // An atomic copy of all files while services run equals a power loss for nats-server.
    system.nats.kill().await;
    let snapshot = tempfile::tempdir().unwrap();
    copy(&system.nats.as_server().store_dir(), snapshot.path());
    system.nats.restart().await;
    let lost_cursor = record_after_the_backup(&system, erased).await;

    table.agrees_with(&system).await;
    table.process.kill().await;
    system.terminate().await;
    system.nats.kill().await;
    let store = system.nats.as_server().store_dir();
    std::fs::remove_dir_all(&store).unwrap();
    copy(snapshot.path(), &store);
    system.nats.restart().await;
    resume_after_restore(&mut system, erased, &lost_cursor).await;
    table.process.restart().await;
    table_has_the_new_epoch(&table, &system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_projector_catches_up_after_stream_backups_made_under_load_are_restored() {
    let mut system = System::start().await;
    let mut table = UserTable::start(&system);
    let erased = make_history(&system, "before").await;
    let nats = system.nats.connect().await;
    let mut backups = vec![];
    for (n, stream) in in_backup_order(&nats).await.into_iter().enumerate() {
        // Events between the copies make them differ in age.
        let pk = system.authentik.create_user(&format!("meanwhile-{n}")).await;
        system.authentik.sign_in(pk).await;
        backups.push(Backup::of(&nats.client, &stream).await);
    }
    drop(nats);
    let lost_cursor = record_after_the_backup(&system, erased).await;

    table.agrees_with(&system).await;
    table.process.kill().await;
    system.terminate().await;
    system.nats.kill().await;
    std::fs::remove_dir_all(system.nats.as_server().store_dir()).unwrap();
    system.nats.restart().await;
    let nats = system.nats.connect().await;
    for backup in &backups {
        backup.restore(&nats.client).await;
    }
    drop(nats);
    resume_after_restore(&mut system, erased, &lost_cursor).await;
    table.process.restart().await;
    table_has_the_new_epoch(&table, &system).await;
}

/// Waits until the table is built from the new epoch; the old table might match by chance.
async fn table_has_the_new_epoch(table: &UserTable, system: &System) {
    eventually("the table has the new epoch", || async {
        (table.content()?["epoch"] == NEW_EPOCH).then_some(())
    })
    .await;
    table.agrees_with(system).await;
}

/// Records events and an erasure that the backup lacks. Returns the feed's last cursor.
async fn record_after_the_backup(system: &System, erased: i64) -> String {
    system.operate(&["forget", &erased.to_string()]).await;
    make_history(system, "lost").await;
    let mut feed = system.feed().await;
    let n_recorded = recorded(system).await.len();
    feed.read_until("all", |received| received.len() >= n_recorded).await;
    feed.received.last().unwrap().id.clone()
}

/// Follows the documented steps after the restore, and checks the installation.
async fn resume_after_restore(system: &mut System, erased: i64, lost_cursor: &str) {
    let nats = system.nats.connect().await;
    eventually("the streams exist", || async { EventLog::open(&nats).await.ok().map(drop) }).await;
    begin_a_new_epoch(&nats).await;
    drop(nats);
    system.restart_everything().await;
    check_all(system).await;
    // Other events may have these sequences now, so clients must start again.
    assert_eq!(resume_status(system, lost_cursor).await, 410);
    let (epoch, _) = lost_cursor.rsplit_once('-').unwrap();
    assert_eq!(resume_status(system, &format!("{epoch}-1")).await, 410);
    assert_eq!(resume_status(system, &format!("{NEW_EPOCH}-1")).await, 200);

    // The operator repeats the erasures since the backup.
    system.operate(&["forget", &erased.to_string()]).await;
    let about =
        recorded(system).await.into_iter().filter(|event| event.event.subject == Entity::User(erased));
    let types: Vec<_> = about.map(|event| event.event.body.event_type()).collect();
    assert_eq!(types, [EventType::UserErased]);
    check_all(system).await;
}
