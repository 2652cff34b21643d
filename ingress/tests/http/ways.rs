//! The ingress stores webhooks one by one or in batches, whichever is faster with the server's settings.

use std::ops::Range;

use futures_util::{StreamExt, stream};
use reqwest::StatusCode;
use runtime::nats::Nats;
use testkit::{NatsServer, eventually};

use crate::service::{Service, event};

/// Settings of a server that writes every message to disk before it acknowledges.
pub const SYNCED: &str = "jetstream { sync_interval: always }";

/// Number of webhooks in a round.
const ROUND: u64 = 1000;

/// Delivers webhooks, `n_at_once` concurrently, and asserts that each is stored now.
async fn deliver(service: &Service, events: Range<u64>, n_at_once: usize) {
    let deliveries = stream::iter(events).map(|n| async move {
        let (id, body) = event(n);
        let answer = service.signed(&id, &body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "webhook {n}");
    });
    deliveries.buffer_unordered(n_at_once).collect::<()>().await;
}

/// The number of messages in batches among those of a round, which is also the range of their sequences.
async fn n_in_batches(nats: &Nats, events: Range<u64>) -> usize {
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    assert_eq!(inbox.cached_info().state.messages, events.end, "each webhook is stored once");
    let stored = stream::iter(events).map(|n| inbox.get_raw_message(n + 1)).buffer_unordered(32);
    let is_in_batch = stored.map(|message| message.unwrap().headers.get("Nats-Batch-Id").is_some());
    is_in_batch.filter(|is_in_batch| std::future::ready(*is_in_batch)).count().await
}

/// Delivers round after round until the number of its messages in batches is good. Returns the number of the
/// next webhook.
pub async fn rounds_until(service: &Service, nats: &Nats, begin: u64, is_good: fn(usize) -> bool) -> u64 {
    let next = std::sync::atomic::AtomicU64::new(begin);
    eventually("the faster way is used", || async {
        let begin = next.fetch_add(ROUND, std::sync::atomic::Ordering::SeqCst);
        deliver(service, begin..begin + ROUND, 256).await;
        is_good(n_in_batches(nats, begin..begin + ROUND).await).then_some(())
    })
    .await;
    next.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_syncs_most_webhooks_are_stored_one_by_one() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    deliver(&service, 0..ROUND, 64).await;
    deliver(&service, ROUND..3 * ROUND, 64).await;
    let n_in_batches = n_in_batches(&nats, 0..3 * ROUND).await;
    assert!(n_in_batches < 1500, "{n_in_batches} of 3000 in batches");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_syncs_most_of_many_concurrent_webhooks_are_stored_in_batches() {
    let server = NatsServer::start_with(SYNCED).await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    rounds_until(&service, &nats, 0, |n_in_batches| n_in_batches > 800).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_servers_sync_interval_changes_the_way() {
    let mut server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let next = rounds_until(&service, &nats, 0, |n_in_batches| n_in_batches < 300).await;

    server.configure("nats-server.conf", SYNCED);
    server.restart().await;
    eventually("NATS is connected again", || async { nats.is_connected().then_some(()) }).await;
    eventually("the ingress stores webhooks again", || async {
        let (id, body) = event(next);
        service.signed(&id, &body).send().await.unwrap().status().is_success().then_some(())
    })
    .await;
    deliver(&service, next + 1..next + ROUND, 16).await;
    rounds_until(&service, &nats, next + ROUND, |n_in_batches| n_in_batches > 800).await;
    service.stop().await;
}
