//! Wrong clocks: unverifiable webhooks are refused with the reason; sweep and event log make up for them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use domain::event::{Channel, EventType, StateAfter};
use domain::key::Entity;
use e2e::System;
use e2e::checks::{histories_are_valid, recorded};
use e2e::system::Setup;
use serde_json::json;
use testkit::eventually;

/// Seconds: more than the age at which a signature expires.
const ERROR: i64 = 10 * 60;

/// A user registers, signs in, and is deactivated and renamed.
async fn change_a_user(system: &System) -> i64 {
    let pk = system.authentik.create_user("mary").await;
    system.authentik.sign_in(pk).await;
    system.authentik.update_user(pk, json!({"is_active": false})).await;
    system.authentik.update_user(pk, json!({"name": "Mary Jackson"})).await;
    pk
}

/// Webhooks are refused with an answer that contains `reason`; all changes are recorded nevertheless.
async fn check_refused_and_caught_up(setup: Setup, reason: &str) {
    let system = System::start_with(setup).await;
    let pk = change_a_user(&system).await;
    let events = eventually("all changes are recorded", || async {
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
    assert_eq!(sign_in.unwrap().event.channel, Channel::EventLog, "only the event log reports facts");
    histories_are_valid(&system).await;
    let refusals = eventually("a webhook is refused", || async {
        let refusals = system.webhooks.refusals();
        (!refusals.is_empty()).then_some(refusals)
    })
    .await;
    assert!(
        refusals
            .iter()
            .all(|refusal| refusal.contains(reason) && refusal.contains("check the clocks of both hosts"))
    );
    assert!(system.webhooks.accepted().is_empty());
}

#[tokio::test]
async fn everything_is_caught_up_if_the_clock_of_ingress_is_ahead() {
    check_refused_and_caught_up(Setup { ingress_ahead: ERROR, ..Setup::default() }, "in the past").await;
}

#[tokio::test]
async fn everything_is_caught_up_if_the_clock_of_ingress_is_behind() {
    check_refused_and_caught_up(Setup { ingress_ahead: -ERROR, ..Setup::default() }, "in the future").await;
}

#[tokio::test]
async fn everything_is_caught_up_if_authentiks_clock_is_ahead() {
    check_refused_and_caught_up(Setup { authentik_ahead: ERROR, ..Setup::default() }, "in the future").await;
}

#[tokio::test]
async fn everything_is_caught_up_if_authentiks_clock_is_behind() {
    check_refused_and_caught_up(Setup { authentik_ahead: -ERROR, ..Setup::default() }, "in the past").await;
}
