//! Nothing lost, nothing twice, under faults: the short forms.
//!
//! A failure is repeated by the seed that it prints: `E2E_SEED=… cargo nextest run -p e2e --test chaos`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::{BTreeMap, BTreeSet};

use domain::event::{EventBody, Recorded};
use domain::history;
use domain::key::Entity;
use e2e::System;
use e2e::chaos::{Chaos, converged};
use e2e::system::Size;
use serde_json::json;
use store::log::{EventLog, From};
use testkit::nats::inbox_is_worked_off;

async fn recorded(system: &System) -> Vec<Recorded> {
    let log = EventLog::open(&system.nats.connect().await).await.unwrap();
    let filter = log.namespace().events_filter(None, None);
    let mut events: Vec<Recorded> = vec![];
    loop {
        let from = From::Sequence(events.last().map_or(1, |event| event.sequence + 1));
        let page = log.page(&filter, from, 256).await.unwrap();
        if page.is_empty() {
            return events;
        }
        events.extend(page.iter().map(|message| message.decode().unwrap()));
    }
}

/// Every history is valid, no id and no fact is there twice.
async fn nothing_twice(system: &System) {
    let events = recorded(system).await;
    let ids: BTreeSet<_> = events.iter().map(|event| event.event.id.clone()).collect();
    assert_eq!(ids.len(), events.len(), "an event is there twice");
    let mut histories = BTreeMap::<Entity, Vec<EventBody>>::new();
    let mut facts = BTreeSet::new();
    for event in events {
        if matches!(event.event.body, EventBody::UserLoggedIn(_) | EventBody::UserPasswordChanged(_)) {
            let fact = (event.event.subject, event.event.causationid.clone());
            assert!(facts.insert(fact), "a fact is there twice: {}", event.event.id);
        }
        histories.entry(event.event.subject).or_default().push(event.event.body);
    }
    for (subject, history) in histories {
        assert_eq!(history::check(&history), Ok(()), "{subject}");
    }
}

/// Each webhook that was answered 2xx stands in the inbox.
async fn accepted_is_stored(system: &System) {
    let nats = system.nats.connect().await;
    inbox_is_worked_off(&nats).await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    let n_stored = inbox.cached_info().state.messages;
    let n_accepted = system.authentik.state().await["deliveries"]["delivered"].as_u64().unwrap();
    assert!(n_stored >= n_accepted, "{n_accepted} webhooks were accepted, {n_stored} are stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_authentik_drops_doubles_shuffles_and_hides_converges() {
    let system = System::start().await;
    let mut chaos = Chaos::begin(&system.authentik, 15).await;
    system.authentik.faults(json!({"drop_webhooks": 0.3, "duplicate_webhooks": 0.3})).await;
    for _ in 0..250 {
        chaos.change().await;
    }
    system.authentik.faults(json!({"drop_webhooks": 0.0, "duplicate_webhooks": 0.0})).await;
    converged(&system).await;
    accepted_is_stored(&system).await;
    nothing_twice(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_whenever_nothing_is_lost_and_nothing_is_there_twice() {
    let mut system = System::start_with(Size { n_ingresses: 1, n_projectors: 2 }, None).await;
    let mut chaos = Chaos::begin(&system.authentik, 15).await;
    for n in 0..250 {
        chaos.change().await;
        if n % 15 == 14 {
            let which = chaos.pick(6);
            eprintln!("after {n} changes: killed {}", system.crash(which).await);
        }
    }
    system.ready().await;
    converged(&system).await;
    accepted_is_stored(&system).await;
    nothing_twice(&system).await;
}
