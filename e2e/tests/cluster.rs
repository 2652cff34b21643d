//! Three nodes, of which one at a time dies: nothing lost, nothing twice, and nobody waits for an operator.
//!
//! A failure is repeated by the seed that it prints: `E2E_SEED=… cargo nextest run -p e2e --test cluster`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use domain::event::{EventBody, Recorded};
use domain::history;
use domain::key::Entity;
use e2e::System;
use e2e::chaos::{Chaos, converged};
use e2e::nats::Nats;
use e2e::system::Size;
use futures_util::TryStreamExt;
use poem::endpoint::make;
use poem::http::StatusCode;
use runtime::CancellationToken;
use store::log::{EventLog, From};
use testkit::cluster::N_NODES;
use testkit::nats::inbox_is_worked_off;

const HEADERS: [&str; 4] = ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"];

/// The way of the webhooks: hands each to one ingress after the other, and notes which were answered 2xx.
#[derive(Clone, Default)]
struct Webhooks {
    targets: Arc<OnceLock<Vec<String>>>,
    turn: Arc<AtomicUsize>,
    accepted: Arc<Mutex<BTreeSet<String>>>,
}

impl Webhooks {
    async fn listen(&self) -> String {
        let bound = runtime::http::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/authentik/webhook", bound.address());
        let (webhooks, client) = (self.clone(), reqwest::Client::new());
        let app = make(move |request| {
            let (webhooks, client) = (webhooks.clone(), client.clone());
            async move { webhooks.hand_on(&client, request).await }
        });
        tokio::spawn(bound.serve(app, CancellationToken::new()));
        url
    }

    async fn hand_on(
        &self,
        client: &reqwest::Client,
        mut request: poem::Request,
    ) -> poem::Result<StatusCode> {
        let headers = request.headers().clone();
        let id = request.header("webhook-id").unwrap_or_default().to_owned();
        let body = request.take_body().into_bytes().await?;
        let Some(targets) = self.targets.get() else { return Ok(StatusCode::SERVICE_UNAVAILABLE) };
        let target = &targets[self.turn.fetch_add(1, Ordering::Relaxed) % targets.len()];
        let request = client.post(format!("{target}/authentik/webhook")).body(body);
        let request = HEADERS.iter().fold(request, |request, name| request.header(*name, &headers[*name]));
        let Ok(answer) = request.send().await else { return Ok(StatusCode::BAD_GATEWAY) };
        if answer.status().is_success() {
            self.accepted.lock().unwrap().insert(id);
        }
        Ok(StatusCode::from_u16(answer.status().as_u16()).unwrap())
    }
}

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

/// Every history is valid, no event and no fact is there twice.
async fn nothing_is_there_twice(system: &System) {
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

/// Each webhook that was answered 2xx stands in the inbox, once.
async fn what_was_accepted_is_stored_once(system: &System, accepted: &BTreeSet<String>) {
    let nats = system.nats.connect().await;
    inbox_is_worked_off(&nats).await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    let counts: BTreeMap<String, usize> =
        inbox.info_with_subjects(">").await.unwrap().try_collect().await.unwrap();
    assert!(accepted.len() > 20, "{} webhooks were accepted", accepted.len());
    for id in accepted {
        let subject = nats.namespace.inbox_subject(&id.parse().unwrap());
        assert_eq!(counts.get(&subject), Some(&1), "{id}");
    }
}

/// One node after the other dies while changes come, `n_changes` for each of `n_deaths`; the next one only when the
/// last one is current again.
async fn survive(n_deaths: usize, n_changes: usize) {
    let webhooks = Webhooks::default();
    let size = Size { n_ingresses: 2, n_projectors: 2 };
    let mut system = System::start_on(Nats::cluster().await, size, Some(webhooks.listen().await)).await;
    webhooks.targets.set(system.ingress_urls.clone()).unwrap();
    let mut chaos = Chaos::begin(&system.authentik, 15).await;
    for death in 0..n_deaths {
        let node = if death < N_NODES { death } else { chaos.pick(N_NODES) };
        system.nats.as_cluster().kill(node).await;
        for _ in 0..n_changes / 2 {
            chaos.change().await;
        }
        system.nats.as_cluster().restart(node).await;
        for _ in 0..n_changes / 2 {
            chaos.change().await;
        }
        system.nats.as_cluster().current(node).await;
    }
    system.ready().await;
    converged(&system).await;
    let accepted = webhooks.accepted.lock().unwrap().clone();
    what_was_accepted_is_stored_once(&system, &accepted).await;
    nothing_is_there_twice(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_node_dies_nothing_is_lost_and_nothing_is_there_twice() {
    survive(4, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn however_often_nodes_die_nothing_is_lost_and_nothing_is_there_twice() {
    survive(60, 150).await;
}
