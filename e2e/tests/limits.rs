//! While storage is full, hints wait; once there is room again, they are processed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use async_nats::jetstream::stream::Config;
use e2e::System;
use e2e::checks::converged;
use testkit::eventually;
use testkit::nats::inbox_is_drained;
use testkit::wait::DEADLINE;

/// Maximum size of a file in bytes: enough for the start of all services.
const ROOM: u64 = 256 * 1024;
const N_USERS: usize = 40;

async fn create_users(system: &System, name: &str) {
    for n in 0..N_USERS {
        system.authentik.create_user(&format!("{name}-{n}")).await;
    }
}

async fn n_dead_letters(system: &System) -> u64 {
    let nats = system.nats.connect().await;
    let letters = nats.jetstream.get_stream(nats.namespace.dead_letters_stream()).await.unwrap();
    letters.cached_info().state.messages
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_wait_while_the_event_log_is_full() {
    let system = System::start().await;
    let nats = system.nats.connect().await;
    let events = nats.jetstream.get_stream(nats.namespace.events_stream()).await.unwrap();
    let before = events.cached_info().config.clone();
    let room = events.cached_info().state.messages + 5;
    let full = Config { max_messages: i64::try_from(room).unwrap(), ..before.clone() };
    nats.jetstream.update_stream(full).await.unwrap();
    create_users(&system, "waiting").await;
    system.authentik.finish_deliveries().await;
    eventually("the log is full", || async {
        (events.get_info().await.ok()?.state.messages == room).then_some(())
    })
    .await;
    nats.jetstream.update_stream(before).await.unwrap();
    converged(&system, DEADLINE).await;
    inbox_is_drained(&nats).await;
    assert_eq!(n_dead_letters(&system).await, 0, "full storage must not lead to dead letters");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_continues_after_the_disk_was_full() {
    let mut system = System::start().await;
    system.nats.as_server().limit_file_size(Some(ROOM)).await;
    let mut n_users = 0;
    while !is_refused(&system).await {
        create_users(&system, &format!("filling-{n_users}")).await;
        n_users += N_USERS;
    }
    create_users(&system, "waiting").await;
    system.nats.restart().await;
    system.ready().await;
    converged(&system, DEADLINE).await;
    inbox_is_drained(&system.nats.connect().await).await;
    assert_eq!(n_dead_letters(&system).await, 0, "full storage must not lead to dead letters");
}

/// Whether a webhook was refused because it could not be stored.
async fn is_refused(system: &System) -> bool {
    let metrics = reqwest::get(format!("{}/metrics", system.ingress_urls[0])).await.unwrap();
    metrics.text().await.unwrap().contains("outcome=\"unavailable\"")
}
