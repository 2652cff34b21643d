//! Every webhook that was answered 2xx is stored exactly once, through outages of NATS and late duplicates.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_nats::HeaderMap;
use domain::timestamp::Timestamp;
use e2e::System;
use e2e::checks::{accepted_webhooks_are_stored_once, not_stored_once};
use e2e::system::Setup;
use poem::endpoint::make;
use poem::http::StatusCode;
use runtime::nats::Nats;
use runtime::{CancellationToken, clock};
use store::publish::{Expected, NewMessage, publish};
use testkit::eventually;
use testkit::wait::eventually_within;

const PATIENCE: Duration = Duration::from_mins(1);

/// A faulty ingress that answers before JetStream acknowledges. The tests must notice what it loses.
#[derive(Clone, Default)]
struct EarlyIngress {
    nats: Arc<OnceLock<Nats>>,
    accepted: Arc<Mutex<BTreeSet<String>>>,
}

impl EarlyIngress {
    async fn listen(&self) -> String {
        let bound = runtime::http::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/authentik/webhook", bound.address());
        let early = self.clone();
        let app = make(move |mut request| {
            let early = early.clone();
            async move {
                let id = request.header("webhook-id").unwrap_or_default().to_owned();
                let payload = request.take_body().into_bytes().await?;
                Ok::<_, poem::Error>(early.accept(id, payload))
            }
        });
        tokio::spawn(bound.serve(app, CancellationToken::new()));
        url
    }

    fn accept(&self, id: String, payload: bytes::Bytes) -> StatusCode {
        let Some(nats) = self.nats.get().cloned() else { return StatusCode::SERVICE_UNAVAILABLE };
        let subject = nats.namespace.inbox_subject(&id.parse().unwrap());
        let expected = Some(Expected { last_sequence: 0, filter: None });
        let message = NewMessage { subject, headers: HeaderMap::new(), payload, expected };
        tokio::spawn(async move { publish(&nats, message).await });
        self.accepted.lock().unwrap().insert(id);
        StatusCode::NO_CONTENT
    }
}

/// Creates users before, during and after an outage of NATS.
async fn create_users_through_an_outage(system: &mut System) {
    for n in 0..30 {
        match n {
            10 => system.nats.kill().await,
            20 => system.nats.restart().await,
            _ => {}
        }
        system.authentik.create_user(&format!("user-{n}")).await;
    }
    system.authentik.finish_deliveries().await;
}

/// Without sweeps, which would repair losses.
fn webhooks_only() -> Setup {
    Setup { sweep_interval: 0, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_nats_loses_no_accepted_webhook() {
    let mut system = System::start_with(webhooks_only()).await;
    create_users_through_an_outage(&mut system).await;
    accepted_webhooks_are_stored_once(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_notices_an_ingress_that_answers_early() {
    let early = EarlyIngress::default();
    let webhook_url = Some(early.listen().await);
    let mut system = System::start_with(Setup { webhook_url, ..webhooks_only() }).await;
    early.nats.set(system.nats.connect().await).unwrap();
    create_users_through_an_outage(&mut system).await;
    let accepted = early.accepted.lock().unwrap().clone();
    let lost = not_stored_once(&system.nats.connect().await, &accepted).await;
    assert!(!lost.is_empty(), "nothing was lost of {} webhooks", accepted.len());
    assert!(lost.len() < accepted.len(), "webhooks outside of the outage must not be lost: {lost:?}");
}

/// Repeats a request after the window in which JetStream itself detects duplicates.
async fn check_late_duplicate(system: &System, window: Duration) {
    system.authentik.create_user("mary").await;
    let webhook = eventually("a webhook is accepted", || async { system.webhooks.last_accepted() }).await;
    let nats = system.nats.connect().await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    assert_eq!(inbox.cached_info().config.duplicate_window, window);
    let subject = nats.namespace.inbox_subject(&webhook.id().parse().unwrap());
    let stored = inbox.get_last_raw_message_by_subject(&subject).await.unwrap();
    let end_of_window: Timestamp = (stored.time + window).into();
    eventually_within(window + PATIENCE, "the window has passed", || async {
        (clock::now() > end_of_window).then_some(())
    })
    .await;
    for _ in 0..3 {
        let (status, answer) = system.webhooks.post(&system.ingress_urls[0], &webhook).await.unwrap();
        assert_eq!((status, answer.as_str()), (StatusCode::OK, "{\"status\":\"duplicate\"}"));
    }
    accepted_webhooks_are_stored_once(system).await;
}

#[tokio::test]
async fn a_duplicate_after_a_short_window_is_stored_once() {
    let system = System::start().await;
    let nats = system.nats.connect().await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    let window = Duration::from_millis(100);
    let config = async_nats::jetstream::stream::Config {
        duplicate_window: window,
        ..inbox.cached_info().config.clone()
    };
    nats.jetstream.update_stream(config).await.unwrap();
    check_late_duplicate(&system, window).await;
}

#[tokio::test]
#[ignore = "long: make soak"]
async fn a_duplicate_after_the_servers_default_window_is_stored_once() {
    let system = System::start().await;
    check_late_duplicate(&system, Duration::from_mins(2)).await;
}
