//! While NATS is away nobody waits for it, and nothing is accepted; afterwards all goes on by itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::service::{Service, event, inbox};
use futures_util::StreamExt;
use futures_util::future::join_all;
use reqwest::StatusCode;
use testkit::{NatsServer, eventually};

/// At once, on a machine that has much else to do. An acknowledgement is waited for three times as long.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Sends these events; returns what each was answered, and after how long.
async fn send(service: &Service, events: std::ops::Range<u64>) -> Vec<(StatusCode, Duration)> {
    join_all(events.map(|n| async move {
        let (id, body) = event(n);
        let begin = Instant::now();
        (service.signed(&id, &body).send().await.unwrap().status(), begin.elapsed())
    }))
    .await
}

async fn readiness_says(service: &Service, said: &str) {
    eventually(&format!("readiness says {said:?}"), || async {
        service.get("/readyz").await.text().await.unwrap().contains(said).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_when_nats_dies_is_answered_at_once() {
    let mut server = NatsServer::start().await;
    // Takes the place of JetStream, and keeps everybody waiting.
    let nats = server.connect().await;
    let mut publishes = nats.client.subscribe("authentik.inbox.>").await.unwrap();
    nats.client.flush().await.unwrap();
    let service = Service::start(&server).await;
    eventually("connected to NATS", || async {
        (!service.get("/readyz").await.text().await.unwrap().contains("\"nats\"")).then_some(())
    })
    .await;
    let death = async {
        publishes.next().await.unwrap();
        server.kill().await;
        Instant::now()
    };
    let (death, answers) = tokio::join!(death, async { (send(&service, 0..200).await, Instant::now()) });
    let (answers, end) = answers;
    assert!(end - death < AT_ONCE, "{:?}", end - death);
    assert!(answers.iter().all(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE), "{answers:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nats_hangs_one_webhook_at_a_time_waits_for_it() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    server.pause().await;
    let first = send(&service, 0..20).await;
    assert!(first.iter().all(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE), "{first:?}");
    readiness_says(&service, "jetstream").await;

    let begin = Instant::now();
    let newcomers = send(&service, 20..60).await;
    assert!(newcomers.iter().all(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE), "{newcomers:?}");
    let n_waited = newcomers.iter().filter(|(_, duration)| *duration > AT_ONCE).count();
    assert!(n_waited <= 1, "{newcomers:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());

    server.resume().await;
    // Nobody sends anything: who balances the load sends nothing to who is not ready.
    service.wait_until_ready().await;
    eventually("webhooks are stored again", || async {
        send(&service, 60..61).await[0].0.is_success().then_some(())
    })
    .await;
    let again = send(&service, 0..60).await;
    assert!(again.iter().all(|(status, _)| status.is_success()), "{again:?}");
    let mut counts = BTreeMap::new();
    for stored in inbox(&nats).await {
        *counts.entry(stored.subject).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 61);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_that_hangs_for_long_is_found_again() {
    let server = NatsServer::start().await;
    server.provisioned().await;
    let service = Service::ready(&server).await;
    server.pause().await;
    readiness_says(&service, "not connected").await;
    server.resume().await;
    service.wait_until_ready().await;
    let answers = send(&service, 0..20).await;
    assert!(answers.iter().all(|(status, _)| *status == StatusCode::NO_CONTENT), "{answers:?}");
    service.stop().await;
}
