//! The drill of `docs/operations.md`: everything in NATS is lost, and comes back from a backup.
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

/// What `openssl rand` could give.
const NEW_EPOCH: &str = "5e7e5a";

/// The order in which streams are copied while they are written: first what may be older than the rest.
///
/// A delivery that is copied as worked off has its events in a later copy, or its dead letter.
async fn in_order(nats: &Nats) -> Vec<String> {
    let streams: Vec<_> = nats.jetstream.stream_names().try_collect().await.unwrap();
    let buckets = streams.into_iter().filter(|name| name.starts_with("KV_authentik_"));
    let streams = ["AUTHENTIK_INBOX", "AUTHENTIK_DEAD_LETTERS", "AUTHENTIK_EVENTS"];
    buckets.chain(streams.map(str::to_owned)).collect()
}

/// Copies files as a snapshot of the disk has them.
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

/// Users who live through it, and one who is erased.
async fn live(system: &System, name: &str) -> i64 {
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

/// A new epoch, as `nats stream edit AUTHENTIK_EVENTS --metadata epoch:…` gives it.
async fn begin_a_new_epoch(nats: &Nats) {
    let mut events = nats.jetstream.get_stream("AUTHENTIK_EVENTS").await.unwrap();
    let mut config = events.info().await.unwrap().config.clone();
    config.metadata.insert("epoch".to_owned(), NEW_EPOCH.to_owned());
    nats.jetstream.update_stream(config).await.unwrap();
}

/// What the API answers to a client of the feed that was here last.
async fn resumes(system: &System, cursor: &str) -> u16 {
    let token = system.authentik.token("akadmin").await;
    let path = format!("/api/events?after={cursor}&limit=1");
    system.call(Method::GET, &path, Some(&token)).await.status().as_u16()
}

/// Everything that must hold after a restore.
async fn all_is_well(system: &System) {
    converged(system, DEADLINE).await;
    histories_are_valid(system).await;
    replay_equals_live(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_moved_while_everything_is_stopped_goes_on_as_if_nothing_had_been() {
    let mut system = System::start().await;
    live(&system, "before").await;
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
    assert_eq!(resumes(&system, &cursor).await, 200);
    let next = system.authentik.create_user("after").await;
    feed.read_until("what comes next", |received| {
        received.last().unwrap().data["subject"] == format!("user/{next}").as_str()
    })
    .await;
    let ids: BTreeSet<_> = feed.received.iter().map(|received| &received.id).collect();
    assert_eq!(ids.len(), feed.received.len(), "nothing comes twice");
    assert_eq!(system.operate(&["dead-letters", "list"]).await[0]["id"], "letter");
    all_is_well(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_the_disk_that_is_older_than_the_loss_is_caught_up_with() {
    let mut system = System::start().await;
    let mut table = UserTable::start(&system);
    let erased = live(&system, "before").await;
    // All files at one moment, while services run: to nats-server it is a power cut.
    system.nats.kill().await;
    let snapshot = tempfile::tempdir().unwrap();
    copy(&system.nats.as_server().store_dir(), snapshot.path());
    system.nats.restart().await;
    let lost = what_the_backup_lacks(&system, erased).await;

    table.agrees_with(&system).await;
    table.process.kill().await;
    system.terminate().await;
    system.nats.kill().await;
    let store = system.nats.as_server().store_dir();
    std::fs::remove_dir_all(&store).unwrap();
    copy(snapshot.path(), &store);
    system.nats.restart().await;
    goes_on(&mut system, erased, &lost).await;
    table.process.restart().await;
    begins_anew(&table, &system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_of_the_streams_made_while_they_are_written_are_caught_up_with() {
    let mut system = System::start().await;
    let mut table = UserTable::start(&system);
    let erased = live(&system, "before").await;
    let nats = system.nats.connect().await;
    let mut backups = vec![];
    for (n, stream) in in_order(&nats).await.into_iter().enumerate() {
        // The copies are of different moments.
        let pk = system.authentik.create_user(&format!("meanwhile-{n}")).await;
        system.authentik.sign_in(pk).await;
        backups.push(Backup::of(&nats.client, &stream).await);
    }
    drop(nats);
    let lost = what_the_backup_lacks(&system, erased).await;

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
    goes_on(&mut system, erased, &lost).await;
    table.process.restart().await;
    begins_anew(&table, &system).await;
}

/// What the table had of before may agree as well: it must be of the new epoch.
async fn begins_anew(table: &UserTable, system: &System) {
    eventually("the table is of the new epoch", || async {
        (table.content()?["epoch"] == NEW_EPOCH).then_some(())
    })
    .await;
    table.agrees_with(system).await;
}

/// What is recorded after the backup and is lost with it: an erasure among it. Returns the feed's last cursor.
async fn what_the_backup_lacks(system: &System, erased: i64) -> String {
    system.operate(&["forget", &erased.to_string()]).await;
    live(system, "lost").await;
    let mut feed = system.feed().await;
    let n_recorded = recorded(system).await.len();
    feed.read_until("all", |received| received.len() >= n_recorded).await;
    feed.received.last().unwrap().id.clone()
}

/// From the restored server to an installation that is right again.
async fn goes_on(system: &mut System, erased: i64, lost: &str) {
    let nats = system.nats.connect().await;
    eventually("the streams are there", || async { EventLog::open(&nats).await.ok().map(drop) }).await;
    begin_a_new_epoch(&nats).await;
    drop(nats);
    system.restart_everything().await;
    all_is_well(system).await;
    // Their place may be taken by other events: clients are told, and begin anew.
    assert_eq!(resumes(system, lost).await, 410);
    let (epoch, _) = lost.rsplit_once('-').unwrap();
    assert_eq!(resumes(system, &format!("{epoch}-1")).await, 410);
    assert_eq!(resumes(system, &format!("{NEW_EPOCH}-1")).await, 200);

    // An erasure since the backup is to be repeated.
    system.operate(&["forget", &erased.to_string()]).await;
    let about =
        recorded(system).await.into_iter().filter(|event| event.event.subject == Entity::User(erased));
    let types: Vec<_> = about.map(|event| event.event.body.event_type()).collect();
    assert_eq!(types, [EventType::UserErased]);
    all_is_well(system).await;
}
