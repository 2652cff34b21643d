//! Checks of what the system promises, whatever happened to it before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::event::{EventBody, Recorded};
use domain::history;
use domain::key::Entity;
use futures_util::TryStreamExt;
use runtime::nats::Nats;
use serde_json::Value;
use store::log::{EventLog, ReadFrom};
use testkit::eventually;
use testkit::nats::inbox_is_drained_within;
use testkit::wait::eventually_within;

use crate::System;

/// Waits until everything is processed, then checks every promise about stored and recorded data.
pub async fn everything_holds(system: &System, patience: Duration) {
    converged(system, patience).await;
    accepted_webhooks_are_stored_once(system).await;
    histories_are_valid(system).await;
    replay_equals_live(system).await;
}

/// Names of the projections.
pub const PROJECTIONS: [&str; 3] = ["users", "groups", "activity"];

/// Waits until the recorded state of every user agrees with authentik, and every sign-in is recorded.
///
/// A black-box test cannot see when everything is processed, so this waits for the result itself.
pub async fn converged(system: &System, within: Duration) {
    eventually_within(within, "every user is recorded with authentik's state", || async {
        let state = system.authentik.state().await;
        let expected: BTreeSet<String> = state["users"].as_array()?.iter().map(describe_state).collect();
        (shown_users(system).await? == expected).then_some(())
    })
    .await;
    eventually_within(within, "every sign-in is recorded", || async {
        missing_sign_ins(system).await.is_empty().then_some(())
    })
    .await;
    // Pending deliveries change nothing any more, but they must be done before anything is compared.
    system.authentik.finish_deliveries_within(within).await;
    inbox_is_drained_within(within, &system.nats.connect().await).await;
}

/// All existing users that the API lists.
async fn shown_users(system: &System) -> Option<BTreeSet<String>> {
    let mut users = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let (_, page) = system.get(&format!("/api/users?limit=500{cursor}"), "akadmin").await;
        users.extend(page["users"].as_array()?.iter().map(|view| describe_view(&view["user"])));
        let Some(next) = page["next"].as_str() else { return Some(users) };
        cursor = format!("&cursor={next}");
    }
}

/// The compared fields of a user, from an event or the API.
pub fn describe_view(user: &Value) -> String {
    let groups = user["group_names"].as_object();
    describe(user, groups.into_iter().flat_map(|names| names.values()))
}

/// The compared fields of a user, from the simulator's state.
pub fn describe_state(user: &Value) -> String {
    describe(user, user["groups"].as_array().into_iter().flatten())
}

fn describe<'a>(user: &Value, groups: impl Iterator<Item = &'a Value>) -> String {
    let groups: BTreeSet<_> = groups.map(Value::to_string).collect();
    format!("{} {} {} {} {groups:?}", user["pk"], user["uuid"], user["name"], user["is_active"])
}

/// Ids of sign-ins in authentik's event log that are not recorded, of users who still exist.
async fn missing_sign_ins(system: &System) -> Vec<String> {
    let state = system.authentik.state().await;
    let existing: BTreeSet<_> =
        state["users"].as_array().into_iter().flatten().filter_map(|user| user["pk"].as_i64()).collect();
    let recorded: BTreeSet<String> = recorded(system)
        .await
        .into_iter()
        .filter(|event| matches!(event.event.body, EventBody::UserLoggedIn(_)))
        .map(|event| event.event.causationid.as_str().to_owned())
        .collect();
    let sign_ins = system.authentik.events("login").await;
    let of_existing =
        sign_ins.iter().filter(|event| event["user"]["pk"].as_i64().is_some_and(|pk| existing.contains(&pk)));
    let ids = of_existing.filter_map(|event| Some(event["pk"].as_str()?.to_owned()));
    ids.filter(|id| !recorded.contains(id)).collect()
}

/// All recorded events, in order.
pub async fn recorded(system: &System) -> Vec<Recorded> {
    let log = EventLog::open(&system.nats.connect().await).await.expect("opening the log of events");
    let filter = log.namespace().events_filter(None, None);
    let mut events: Vec<Recorded> = vec![];
    loop {
        let from = ReadFrom::Sequence(events.last().map_or(1, |event| event.sequence + 1));
        let page = log.page(&filter, from, 256).await.expect("reading a page of events");
        if page.is_empty() {
            return events;
        }
        events.extend(page.iter().map(|message| message.decode().expect("a readable event")));
    }
}

/// Every history is valid; no event and no fact is recorded twice.
pub async fn histories_are_valid(system: &System) {
    let events = recorded(system).await;
    let ids: BTreeSet<_> = events.iter().map(|event| event.event.id.clone()).collect();
    assert_eq!(ids.len(), events.len(), "an event is recorded twice");
    let mut histories = BTreeMap::<Entity, Vec<EventBody>>::new();
    let mut facts = BTreeSet::new();
    for event in events {
        if matches!(event.event.body, EventBody::UserLoggedIn(_) | EventBody::UserPasswordChanged(_)) {
            let fact = (event.event.subject, event.event.causationid.clone());
            assert!(facts.insert(fact), "a fact is recorded twice: {}", event.event.id);
        }
        histories.entry(event.event.subject).or_default().push(event.event.body);
    }
    for (subject, history) in histories {
        assert_eq!(history::check(&history), Ok(()), "{subject}");
    }
}

/// Those of the delivery ids that are not stored in the inbox exactly once.
pub async fn not_stored_once(nats: &Nats, ids: impl IntoIterator<Item = &String>) -> Vec<String> {
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.expect("opening the inbox");
    let subjects = inbox.info_with_subjects(">").await.expect("asking for the subjects of the inbox");
    let counts: BTreeMap<String, usize> =
        subjects.try_collect().await.expect("reading the subjects of the inbox");
    let subject = |id: &String| nats.namespace.inbox_subject(&id.parse().expect("a delivery id"));
    ids.into_iter().filter(|id| counts.get(&subject(id)) != Some(&1)).cloned().collect()
}

/// Each webhook that was answered 2xx is stored in the inbox exactly once.
pub async fn accepted_webhooks_are_stored_once(system: &System) {
    let accepted = system.webhooks.accepted();
    assert!(!accepted.is_empty(), "no webhook was accepted");
    assert_eq!(
        not_stored_once(&system.nats.connect().await, &accepted).await,
        Vec::<String>::new(),
        "of {}",
        accepted.len()
    );
}

/// Readers are served exactly the bytes that the events fold to, before and after a rebuild. Nothing may be
/// recorded meanwhile.
pub async fn replay_equals_live(system: &System) {
    eventually("the projections have all events", || async {
        let status = system.operate(&["status"]).await;
        let has_all = |projection: &Value| projection["lag"] == 0;
        status["projections"].as_array()?.iter().all(has_all).then_some(())
    })
    .await;
    for projection in PROJECTIONS {
        let live = system.operate(&["verify", projection]).await;
        assert_eq!(live["served"], live["expected"], "{projection}");
        let rebuilt = system.operate(&["rebuild", projection]).await;
        assert_eq!(
            (&rebuilt["fingerprint"], &rebuilt["sequence"]),
            (&live["served"], &live["sequence"]),
            "{projection}"
        );
        let served = system.operate(&["verify", projection]).await;
        assert_eq!(
            (&served["served"], &served["generation"]),
            (&live["served"], &rebuilt["generation"]),
            "{projection}"
        );
    }
}
