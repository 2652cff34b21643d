//! Wrong clocks: what cannot be verified is refused and says why, and the catch-up brings it all the same.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use domain::event::{Channel, EventType, StateAfter};
use domain::key::Entity;
use e2e::System;
use e2e::checks::{nothing_is_there_twice, recorded};
use e2e::system::Setup;
use serde_json::json;
use testkit::eventually;

/// More than a signature may be old.
const WRONG: i64 = 10 * 60;

/// A user registers, signs in, and is deactivated and renamed.
async fn live(system: &System) -> i64 {
    let pk = system.authentik.create_user("mary").await;
    system.authentik.sign_in(pk).await;
    system.authentik.update_user(pk, json!({"is_active": false})).await;
    system.authentik.update_user(pk, json!({"name": "Mary Jackson"})).await;
    pk
}

async fn is_refused_and_caught_up_with(setup: Setup, said: &str) {
    let system = System::start_with(setup).await;
    let pk = live(&system).await;
    let events = eventually("the catch-up brought everything", || async {
        let mut events = recorded(&system).await;
        events.retain(|event| event.event.subject == Entity::User(pk));
        let StateAfter::User(user) = events.last()?.event.body.after() else { return None };
        let is_up_to_date = user.name == "Mary Jackson" && !user.is_active;
        let signed_in = events.iter().any(|event| event.event.body.event_type() == EventType::UserLoggedIn);
        (is_up_to_date && signed_in).then_some(events)
    })
    .await;
    assert_eq!(events[0].event.body.event_type(), EventType::UserRegistered);
    let sign_in = events.iter().find(|event| event.event.body.event_type() == EventType::UserLoggedIn);
    assert_eq!(sign_in.unwrap().event.channel, Channel::EventLog, "the sweep does not see facts");
    nothing_is_there_twice(&system).await;
    let refusals = eventually("a webhook is refused", || async {
        let refusals = system.webhooks.refusals();
        (!refusals.is_empty()).then_some(refusals)
    })
    .await;
    assert!(
        refusals
            .iter()
            .all(|refusal| refusal.contains(said) && refusal.contains("check the clocks of both hosts"))
    );
    assert!(system.webhooks.accepted().is_empty());
}

#[tokio::test]
async fn where_the_clock_of_ingress_is_ahead_the_catch_up_brings_everything() {
    is_refused_and_caught_up_with(Setup { ingress_ahead: WRONG, ..Setup::default() }, "in the past").await;
}

#[tokio::test]
async fn where_the_clock_of_ingress_is_behind_the_catch_up_brings_everything() {
    is_refused_and_caught_up_with(Setup { ingress_ahead: -WRONG, ..Setup::default() }, "in the future").await;
}

#[tokio::test]
async fn where_authentiks_clock_is_ahead_the_catch_up_brings_everything() {
    is_refused_and_caught_up_with(Setup { authentik_ahead: WRONG, ..Setup::default() }, "in the future")
        .await;
}

#[tokio::test]
async fn where_authentiks_clock_is_behind_the_catch_up_brings_everything() {
    is_refused_and_caught_up_with(Setup { authentik_ahead: -WRONG, ..Setup::default() }, "in the past").await;
}
