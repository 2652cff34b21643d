//! What looks as if everybody had been deleted, and is not: nobody is recorded as deleted.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;

use domain::event::{Channel, EventType, Recorded};
use domain::hint::InternalHint;
use domain::key::{Entity, UserPk};
use e2e::System;
use e2e::checks::recorded;
use serde_json::json;
use store::inbox::put_hint;
use testkit::eventually;
use testkit::nats::inbox_is_worked_off;

/// More than the brake lets pass.
const N_USERS: usize = 40;

/// Key of the administrator, by whom an installation is known.
const ADMINISTRATOR: UserPk = 3;

fn types(events: &[Recorded]) -> BTreeSet<EventType> {
    events.iter().map(|event| event.event.body.event_type()).collect()
}

async fn with_users() -> System {
    let system = System::start().await;
    system.authentik.silently(json!({"op": "create_users", "count": N_USERS})).await;
    eventually("everybody is recorded", || async {
        let events = recorded(&system).await;
        let registered =
            events.iter().filter(|event| event.event.body.event_type() == EventType::UserRegistered);
        (registered.count() >= N_USERS).then_some(())
    })
    .await;
    system
}

/// A hint about everybody who is recorded, as late webhooks would be.
async fn hint_at_everybody(system: &System) {
    let nats = system.nats.connect().await;
    let users: BTreeSet<UserPk> = recorded(system)
        .await
        .iter()
        .filter_map(|event| match event.event.subject {
            Entity::User(pk) => Some(pk),
            Entity::Group(_) => None,
        })
        .collect();
    for pk in users {
        let hint = InternalHint::about_user(pk, "test", None);
        put_hint(&nats, &format!("hint-{pk}").parse().unwrap(), Channel::Api, &hint).await.unwrap();
    }
}

async fn each_hint_was_tried(system: &System) {
    let nats = system.nats.connect().await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    let last = inbox.cached_info().state.last_sequence;
    eventually("each hint was tried", || async {
        (inbox.consumer_info("projector").await.ok()?.delivered.stream_sequence >= last).then_some(())
    })
    .await;
}

async fn says(system: &System, words: &str) {
    eventually(&format!("readiness says {words:?}"), || async {
        system.projector_says().await.contains(words).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_authentik_in_the_place_of_the_one_that_was_there_deletes_nobody() {
    let mut system = with_users().await;
    system.swap_authentik().await;
    says(&system, "another authentik than before").await;
    hint_at_everybody(&system).await;
    each_hint_was_tried(&system).await;
    says(&system, "another authentik than before").await;
    assert!(!types(&recorded(&system).await).contains(&EventType::UserDeleted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_sees_fewer_users_than_before_deletes_nobody() {
    let system = with_users().await;
    system.authentik.faults(json!({"visible_users": [ADMINISTRATOR]})).await;
    says(&system, "the brake is on").await;
    assert!(!types(&recorded(&system).await).contains(&EventType::UserDeleted));
    // What was hidden is there again: nothing is to be confirmed.
    system.authentik.faults(json!({"visible_users": null})).await;
    eventually("it is ready again", || async { (system.projector_says().await == "ready\n").then_some(()) })
        .await;
    assert!(!types(&recorded(&system).await).contains(&EventType::UserDeleted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_deletes_nobody() {
    let system = with_users().await;
    system.authentik.faults(json!({"rest_status": 403})).await;
    says(&system, "refuses the token").await;
    hint_at_everybody(&system).await;
    system.authentik.faults(json!({"rest_status": null})).await;
    inbox_is_worked_off(&system.nats.connect().await).await;
    assert!(!types(&recorded(&system).await).contains(&EventType::UserDeleted));
}
