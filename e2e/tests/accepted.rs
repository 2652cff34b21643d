//! What was answered 2xx is stored, once: whatever happens to NATS, and however late it comes again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_nats::HeaderMap;
use domain::timestamp::Timestamp;
use e2e::System;
use e2e::checks::{not_stored_once, what_was_accepted_is_stored_once};
use e2e::system::Setup;
use poem::endpoint::make;
use poem::http::StatusCode;
use runtime::nats::Nats;
use runtime::{CancellationToken, clock};
use store::publish::{Expected, NewMessage, publish};
use testkit::eventually;
use testkit::wait::eventually_within;

const PATIENCE: Duration = Duration::from_mins(1);

/// An ingress that answers before JetStream does. It is as good as the real one until something fails.
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

/// Users are created before NATS is away, while it is, and afterwards.
async fn through_an_outage(system: &mut System) {
    for n in 0..30 {
        match n {
            10 => system.nats.kill().await,
            20 => system.nats.restart().await,
            _ => {}
        }
        system.authentik.create_user(&format!("user-{n}")).await;
    }
    eventually("every webhook is told", || async { (system.authentik.n_pending().await == 0).then_some(()) })
        .await;
}

/// Without the catch-up, which would mend what is lost.
fn webhooks_alone() -> Setup {
    Setup { sweep_interval: 0, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_nats_loses_nothing_that_was_accepted() {
    let mut system = System::start_with(webhooks_alone()).await;
    through_an_outage(&mut system).await;
    what_was_accepted_is_stored_once(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_that_answers_early_is_caught_losing() {
    let early = EarlyIngress::default();
    let webhook_url = Some(early.listen().await);
    let mut system = System::start_with(Setup { webhook_url, ..webhooks_alone() }).await;
    early.nats.set(system.nats.connect().await).unwrap();
    through_an_outage(&mut system).await;
    let accepted = early.accepted.lock().unwrap().clone();
    let lost = not_stored_once(&system, &accepted).await;
    assert!(!lost.is_empty(), "of {} webhooks", accepted.len());
    assert!(lost.len() < accepted.len(), "without an outage nothing is lost: {lost:?}");
}

/// The same request once more, after the window in which JetStream looks for duplicates by itself.
async fn a_late_duplicate_is_stored_once(system: &System, window: Duration) {
    system.authentik.create_user("mary").await;
    let webhook = eventually("a webhook is accepted", || async { system.webhooks.last_accepted() }).await;
    let nats = system.nats.connect().await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    assert_eq!(inbox.cached_info().config.duplicate_window, window);
    let subject = nats.namespace.inbox_subject(&webhook.id().parse().unwrap());
    let stored = inbox.get_last_raw_message_by_subject(&subject).await.unwrap();
    let forgotten: Timestamp = (stored.time + window).into();
    eventually_within(window + PATIENCE, "the window is over", || async {
        (clock::now() > forgotten).then_some(())
    })
    .await;
    for _ in 0..3 {
        let (status, said) = system.webhooks.post(&system.ingress_urls[0], &webhook).await.unwrap();
        assert_eq!((status, said.as_str()), (StatusCode::OK, "{\"status\":\"duplicate\"}"));
    }
    what_was_accepted_is_stored_once(system).await;
}

#[tokio::test]
async fn a_duplicate_that_comes_after_a_short_window_is_stored_once() {
    let system = System::start().await;
    let nats = system.nats.connect().await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    let window = Duration::from_millis(100);
    let config = async_nats::jetstream::stream::Config {
        duplicate_window: window,
        ..inbox.cached_info().config.clone()
    };
    nats.jetstream.update_stream(config).await.unwrap();
    a_late_duplicate_is_stored_once(&system, window).await;
}

#[tokio::test]
#[ignore = "long: make soak"]
async fn a_duplicate_that_comes_after_the_servers_default_window_is_stored_once() {
    let system = System::start().await;
    a_late_duplicate_is_stored_once(&system, Duration::from_mins(2)).await;
}
