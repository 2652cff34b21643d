//! An outage of NATS: webhooks are refused without waiting, and the ingress recovers by itself.

use std::time::{Duration, Instant};

use crate::service::{Service, event, n_by_subject};
use futures_util::StreamExt;
use futures_util::future::join_all;
use reqwest::StatusCode;
use testkit::{NatsServer, eventually};

/// Upper bound of an immediate answer on a busy machine. The acknowledgement timeout is three times as long.
const IMMEDIATELY: Duration = Duration::from_secs(1);

/// Sends these events concurrently. Returns status and duration of each answer.
async fn send(service: &Service, events: std::ops::Range<u64>) -> Vec<(StatusCode, Duration)> {
    join_all(events.map(|n| async move {
        let (id, body) = event(n);
        let begin = Instant::now();
        (service.signed(&id, &body).send().await.unwrap().status(), begin.elapsed())
    }))
    .await
}

async fn readiness_says(service: &Service, reason: &str) {
    eventually(&format!("readiness says {reason:?}"), || async {
        service.get("/readyz").await.text().await.unwrap().contains(reason).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_requests_are_answered_as_soon_as_nats_dies() {
    let mut server = NatsServer::start().await;
    // This subscriber replaces JetStream and never acknowledges.
    let nats = server.connect().await;
    let mut publishes = nats.client.subscribe("authentik.inbox.>").await.unwrap();
    nats.client.flush().await.unwrap();
    let service = Service::start(&server).await;
    service.wait_until_connected().await;
    let death = async {
        publishes.next().await.unwrap();
        server.kill().await;
        Instant::now()
    };
    let (death, answers) = tokio::join!(death, async { (send(&service, 0..200).await, Instant::now()) });
    let (answers, end) = answers;
    assert!(end - death < IMMEDIATELY, "{:?}", end - death);
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
    let second = send(&service, 20..60).await;
    assert!(second.iter().all(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE), "{second:?}");
    let n_waited = second.iter().filter(|(_, duration)| *duration > IMMEDIATELY).count();
    assert!(n_waited <= 1, "{second:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());

    server.resume().await;
    // No webhook is sent here: a load balancer sends none to an unready instance.
    service.wait_until_ready().await;
    eventually("webhooks are stored again", || async {
        send(&service, 60..61).await[0].0.is_success().then_some(())
    })
    .await;
    let again = send(&service, 0..60).await;
    assert!(again.iter().all(|(status, _)| status.is_success()), "{again:?}");
    let counts = n_by_subject(&nats).await;
    assert_eq!(counts.len(), 61);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ingress_reconnects_after_nats_hung_for_a_long_time() {
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
