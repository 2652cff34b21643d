//! Many live streams at once: none misses or repeats an event, and a deactivated user's stream ends at once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::sync::Arc;
use std::time::Duration;

use domain::event::EventType;
use domain::key::Entity;
use domain::timestamp::Timestamp;
use e2e::System;
use e2e::checks::recorded;
use e2e::feed::Subscription;
use e2e::system::Setup;
use reqwest::Client;
use runtime::clock;
use serde_json::json;
use testkit::eventually;
use testkit::wait::eventually_within;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Size of a test.
struct Amount {
    n_idle: usize,
    n_busy: usize,
    n_changes: usize,
    /// How long all streams may take to reconnect and catch up.
    patience: Duration,
}

/// Reads a stream up to the sequence that `end` announces. Returns the received sequences.
async fn read_sequences(mut stream: Subscription, mut end: watch::Receiver<Option<u64>>) -> Vec<u64> {
    let mut sequences: Vec<u64> = vec![];
    loop {
        let last = *end.borrow_and_update();
        if last.is_some_and(|last| sequences.last().is_some_and(|seen| *seen >= last)) {
            return sequences;
        }
        let messages = tokio::select! {
            messages = stream.next() => messages,
            _ = end.changed() => continue,
        };
        for message in messages.into_iter().filter(|message| message.event != "progress") {
            let id = message.id.unwrap();
            sequences.push(id.rsplit('-').next().unwrap().parse().unwrap());
        }
    }
}

/// Keeps a stream open that must receive no event, until `end` announces a sequence.
async fn stay_idle(
    mut stream: Subscription,
    connected: Arc<std::sync::atomic::AtomicUsize>,
    end: watch::Receiver<Option<u64>>,
) {
    use std::sync::atomic::Ordering::SeqCst;
    let mut was_connected = false;
    while end.borrow().is_none() {
        let messages = tokio::time::timeout(Duration::from_secs(1), stream.next()).await.unwrap_or_default();
        assert!(messages.iter().all(|message| message.event == "progress"), "{messages:?}");
        let is_connected = stream.is_connected();
        match (was_connected, is_connected) {
            (false, true) => drop(connected.fetch_add(1, SeqCst)),
            (true, false) => drop(connected.fetch_sub(1, SeqCst)),
            _ => {}
        }
        was_connected = is_connected;
    }
}

async fn check_streams_through_restarts(amount: Amount) {
    let mut system = System::start_with(Setup { sweep_interval: 0, ..Setup::default() }).await;
    let pk = system.authentik.create_user("mary").await;
    let (end, ended) = watch::channel(None);
    let connected = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let client = Client::new();
    let mut idlers = JoinSet::new();
    let bystander = system.authentik.token("katherine").await;
    for _ in 0..amount.n_idle {
        let stream = Subscription::new(client.clone(), &system.api_url, "?after=earliest", bystander.clone());
        idlers.spawn(stay_idle(stream, Arc::clone(&connected), ended.clone()));
    }
    let mut checkers = JoinSet::new();
    let admin = system.authentik.token("akadmin").await;
    for _ in 0..amount.n_busy {
        let stream = Subscription::new(client.clone(), &system.api_url, "?after=earliest", admin.clone());
        checkers.spawn(read_sequences(stream, ended.clone()));
    }
    let all_are_open = async || {
        eventually_within(amount.patience, "every idle stream is open", || async {
            (connected.load(std::sync::atomic::Ordering::SeqCst) == amount.n_idle).then_some(())
        })
        .await;
    };
    all_are_open().await;
    for n in 0..amount.n_changes {
        system.authentik.update_user(pk, json!({"name": format!("Mary {n}")})).await;
        if n == amount.n_changes / 3 {
            system.restart_api().await;
        }
        if n == amount.n_changes / 2 {
            system.nats.restart().await;
        }
        if n == amount.n_changes * 2 / 3 {
            system.restart_api().await;
        }
    }
    all_are_open().await;
    eventually_within(amount.patience, "the last change is recorded", || async {
        let user = system.authentik.find_user(pk).await?;
        let events = recorded(&system).await;
        let last = events.iter().rev().find(|event| event.event.subject == Entity::User(pk))?;
        let domain::event::StateAfter::User(last) = last.event.body.after() else { return None };
        (user["name"] == last.name.as_str()).then_some(())
    })
    .await;
    let expected: Vec<u64> = recorded(&system).await.iter().map(|event| event.sequence).collect();
    end.send(expected.last().copied()).unwrap();
    let received = tokio::time::timeout(amount.patience, checkers.join_all()).await.unwrap();
    assert_eq!(received.len(), amount.n_busy);
    assert!(received.iter().all(|received| *received == expected), "a stream missed or repeated an event");
    tokio::time::timeout(amount.patience, idlers.join_all()).await.unwrap();
}

/// Reads a stream until its user is revoked. Returns the time of that.
async fn revoked(mut stream: Subscription) -> Timestamp {
    loop {
        for message in stream.next().await {
            if message.event == "revoked" {
                return clock::now();
            }
        }
    }
}

/// Checks the 99th percentile of the time from a deactivation's append to the end of the user's stream.
async fn check_revocation_time(n_users: usize) {
    let system = System::start().await;
    system
        .authentik
        .change_without_event(json!({"op": "create_users", "count": n_users, "prefix": "out-"}))
        .await;
    let is_registered =
        |event: &domain::event::Recorded| event.event.body.event_type() == EventType::UserRegistered;
    eventually("all users are recorded", || async {
        (recorded(&system).await.iter().filter(|event| is_registered(event)).count() >= n_users).then_some(())
    })
    .await;
    let state = system.authentik.state().await;
    let mut streams = JoinSet::new();
    let mut pks = vec![];
    for user in state["users"].as_array().unwrap() {
        let username = user["username"].as_str().unwrap();
        if username.starts_with("out-") {
            let pk = user["pk"].as_i64().unwrap();
            let token = system.authentik.token(username).await;
            let mut stream = Subscription::new(Client::new(), &system.api_url, "", token);
            while !stream.is_connected() {
                stream.next().await;
            }
            pks.push(pk);
            streams.spawn(async move { (pk, revoked(stream).await) });
        }
    }
    assert_eq!(pks.len(), n_users);
    for pk in pks {
        system.authentik.update_user(pk, json!({"is_active": false})).await;
    }
    let ended = tokio::time::timeout(Duration::from_mins(5), streams.join_all()).await.unwrap();
    let events = recorded(&system).await;
    let mut waits: Vec<f64> = ended
        .into_iter()
        .map(|(pk, ended)| {
            let deactivated = events.iter().find(|event| {
                event.event.subject == Entity::User(pk)
                    && event.event.body.event_type() == EventType::UserDeactivated
            });
            let stored = deactivated.unwrap().stored;
            (ended.to_offset_date_time() - stored.to_offset_date_time()).as_seconds_f64()
        })
        .collect();
    waits.sort_by(f64::total_cmp);
    let p99 = waits[(waits.len() * 99 / 100).min(waits.len() - 1)];
    eprintln!("{n_users} streams: p99 {p99:.3} s, longest {:.3} s", waits.last().unwrap());
    assert!(p99 < 1.0, "from the event to the end of the stream: p99 {p99} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stream_misses_or_repeats_an_event_through_restarts() {
    let amount = Amount { n_idle: 200, n_busy: 50, n_changes: 150, patience: Duration::from_mins(1) };
    check_streams_through_restarts(amount).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn none_of_10_000_idle_and_1_000_busy_streams_misses_or_repeats_an_event() {
    let amount =
        Amount { n_idle: 10_000, n_busy: 1_000, n_changes: 2_000, patience: Duration::from_mins(10) };
    check_streams_through_restarts(amount).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_a_deactivated_user_ends_within_a_second() {
    check_revocation_time(50).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn the_streams_of_1_000_deactivated_users_end_within_a_second() {
    check_revocation_time(1_000).await;
}
