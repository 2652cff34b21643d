//! The brake: never more deletions than the limit, with any number of projectors and any clock.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::time::Duration;

use domain::event::EventType;
use e2e::System;
use e2e::checks::recorded;
use e2e::system::Setup;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;
use testkit::wait::eventually_within;

const N_USERS: usize = 200;
const N_DELETED: usize = 150;

/// Primary key of the administrator.
const ADMINISTRATOR: i64 = 3;

/// 1 % of the users is less than this.
const LIMIT: usize = 10;

async fn n_recorded(system: &System, event_type: EventType) -> usize {
    recorded(system).await.iter().filter(|event| event.event.body.event_type() == event_type).count()
}

/// Deletes 150 of 200 users while no projector runs, so that each deletion waits as a webhook of its own.
async fn with_150_deletions_in_the_inbox(setup: Setup) -> System {
    let mut system = System::start_with(setup).await;
    let before = n_recorded(&system, EventType::UserRegistered).await;
    system.authentik.change_without_event(json!({"op": "create_users", "count": N_USERS})).await;
    let (status, _, said) = system.command(&["catch-up"]).await;
    assert_eq!(status, 0, "{said}");
    eventually("everybody is recorded", || async {
        (n_recorded(&system, EventType::UserRegistered).await >= before + N_USERS).then_some(())
    })
    .await;
    system.kill_projectors().await;
    let state = system.authentik.state().await;
    let users: Vec<i64> = state["users"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .take(N_DELETED)
        .map(|user| user["pk"].as_i64().unwrap())
        .collect();
    for pk in users {
        system.authentik.delete_user(pk).await;
    }
    system.authentik.finish_deliveries_within(Duration::from_mins(1)).await;
    system.restart_projectors().await;
    system
}

/// Waits until the projectors hold everybody beyond the limit, and asserts that they recorded nobody beyond it.
async fn the_brake_holds(setup: Setup) -> System {
    let system = with_150_deletions_in_the_inbox(setup).await;
    let nats = system.nats.connect().await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    let last = inbox.cached_info().state.last_sequence;
    eventually("each hint was tried", || async {
        (inbox.consumer_info("projector").await.ok()?.delivered.stream_sequence >= last).then_some(())
    })
    .await;
    eventually("readiness names the brake", || async {
        system.projector_readiness().await.contains("the brake is on").then_some(())
    })
    .await;
    let n_deleted = n_recorded(&system, EventType::UserDeleted).await;
    assert!(n_deleted <= LIMIT, "{n_deleted} users were recorded as deleted, {LIMIT} are allowed");
    system
}

/// The administrator's view of the brake.
async fn brake(system: &System) -> Value {
    let (status, brake) = system.get("/api/brake", "akadmin").await;
    assert_eq!(status, 200, "{brake}");
    brake
}

/// Confirms the deletions over the API, and waits until they are recorded and every projector is ready.
async fn released_by_a_confirmation(system: &System) {
    eventually("every user beyond the limit is held", || async {
        (brake(system).await["held"]["users"].as_array()?.len() == N_DELETED - LIMIT).then_some(())
    })
    .await;
    let held = brake(system).await;
    assert_eq!((&held["on"], &held["room"], &held["limit"]), (&json!(true), &json!(0), &json!(LIMIT)));
    let path = format!("/api/brake/confirm?deletions={N_DELETED}");
    let token = system.authentik.token("akadmin").await;
    let confirmed: Value = system.call(Method::POST, &path, Some(&token)).await.json().await.unwrap();
    assert_eq!(confirmed["confirmed"]["by"], ADMINISTRATOR, "{confirmed}");
    eventually("every deletion is recorded", || async {
        (n_recorded(system, EventType::UserDeleted).await == N_DELETED).then_some(())
    })
    .await;
    eventually_within(Duration::from_secs(5), "every projector is ready", || async {
        for url in &system.projector_urls {
            let readiness = reqwest::get(format!("{url}/readyz")).await.ok()?.text().await.ok()?;
            (readiness == "ready\n").then_some(())?;
        }
        Some(())
    })
    .await;
    assert_eq!(brake(system).await["on"], false);
    let (_, list) = system.get("/api/operations", "akadmin").await;
    let operation = &list["operations"][0];
    assert_eq!(
        (&operation["kind"], &operation["asked_by"]),
        (&json!("confirm-deletions"), &json!(ADMINISTRATOR))
    );
}

async fn with_projectors(n_projectors: usize) {
    let setup = Setup { n_projectors, ..Setup::default() };
    let system = the_brake_holds(setup).await;
    released_by_a_confirmation(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_projector_records_no_more_than_the_limit() {
    with_projectors(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_projectors_record_no_more_than_the_limit() {
    with_projectors(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_projectors_record_no_more_than_the_limit() {
    with_projectors(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_ahead_allows_no_more_deletions() {
    the_brake_holds(Setup { projector_ahead: 3_600, ..Setup::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_behind_allows_no_more_deletions() {
    the_brake_holds(Setup { projector_ahead: -3_600, ..Setup::default() }).await;
}
