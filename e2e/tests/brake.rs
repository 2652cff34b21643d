//! Faults that look as if all users were deleted: no user is recorded as deleted.
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
use testkit::nats::inbox_is_drained;

/// More users than the brake lets delete.
const N_USERS: usize = 40;

/// Primary key of the administrator. The guard recognizes the installation by this user.
const ADMINISTRATOR: UserPk = 3;

fn event_types(events: &[Recorded]) -> BTreeSet<EventType> {
    events.iter().map(|event| event.event.body.event_type()).collect()
}

async fn system_with_users() -> System {
    let system = System::start().await;
    system.authentik.change_without_event(json!({"op": "create_users", "count": N_USERS})).await;
    eventually("all users are recorded", || async {
        let events = recorded(&system).await;
        let registered =
            events.iter().filter(|event| event.event.body.event_type() == EventType::UserRegistered);
        (registered.count() >= N_USERS).then_some(())
    })
    .await;
    system
}

/// Puts a hint about every recorded user into the inbox, like late webhooks.
async fn hint_about_all_users(system: &System) {
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

async fn try_all_hints(system: &System) {
    let nats = system.nats.connect().await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    let last = inbox.cached_info().state.last_sequence;
    eventually("every hint was tried", || async {
        (inbox.consumer_info("projector").await.ok()?.delivered.stream_sequence >= last).then_some(())
    })
    .await;
}

async fn readiness_says(system: &System, words: &str) {
    eventually(&format!("readiness says {words:?}"), || async {
        system.projector_readiness().await.contains(words).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_authentik_with_another_installation_deletes_nobody() {
    let mut system = system_with_users().await;
    system.replace_authentik().await;
    readiness_says(&system, "a different authentik than before").await;
    hint_about_all_users(&system).await;
    try_all_hints(&system).await;
    readiness_says(&system, "a different authentik than before").await;
    assert!(!event_types(&recorded(&system).await).contains(&EventType::UserDeleted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_sees_fewer_users_than_before_deletes_nobody() {
    let system = system_with_users().await;
    system.authentik.faults(json!({"visible_users": [ADMINISTRATOR]})).await;
    readiness_says(&system, "the brake is on").await;
    assert!(!event_types(&recorded(&system).await).contains(&EventType::UserDeleted));
    // The users are visible again, so there is nothing to confirm.
    system.authentik.faults(json!({"visible_users": null})).await;
    eventually("the projector is ready again", || async {
        (system.projector_readiness().await == "ready\n").then_some(())
    })
    .await;
    assert!(!event_types(&recorded(&system).await).contains(&EventType::UserDeleted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_deletes_nobody() {
    let system = system_with_users().await;
    system.authentik.faults(json!({"rest_status": 403})).await;
    readiness_says(&system, "refuses the token").await;
    hint_about_all_users(&system).await;
    system.authentik.faults(json!({"rest_status": null})).await;
    inbox_is_drained(&system.nats.connect().await).await;
    assert!(!event_types(&recorded(&system).await).contains(&EventType::UserDeleted));
}
