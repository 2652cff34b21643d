//! An accepted webhook is stored exactly once: under load, with duplicates, and when NATS dies.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::service::{Service, event, inbox, problem};
use crate::ways::{SYNCED, rounds_until};
use futures_util::StreamExt;
use futures_util::future::join_all;
use reqwest::StatusCode;
use testkit::{NatsServer, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_concurrent_copies_of_a_webhook_are_stored_once() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let (id, body) = event(1);
    let statuses =
        join_all((0..50).map(|_| async { service.signed(&id, &body).send().await.unwrap().status() })).await;
    let n_of = |status| statuses.iter().filter(|given| **given == status).count();
    assert_eq!(n_of(StatusCode::NO_CONTENT), 1, "{statuses:?}");
    assert_eq!(n_of(StatusCode::OK) + n_of(StatusCode::SERVICE_UNAVAILABLE), 49, "{statuses:?}");
    assert_eq!(inbox(&nats).await.len(), 1);
    assert_eq!(service.signed(&id, &body).send().await.unwrap().status(), StatusCode::OK);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_webhooks_are_stored_in_batches() {
    let server = NatsServer::start_with(SYNCED).await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    // The ingress finds out that batches are faster.
    let begin = rounds_until(&service, &nats, 0, |n_in_batches| n_in_batches > 800).await;
    let target = &service;
    let send = |events: Range<u64>| {
        join_all(events.map(|n| async move {
            let (id, body) = event(n);
            target.signed(&id, &body).send().await.unwrap().status()
        }))
    };
    let statuses = send(begin..begin + 500).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::NO_CONTENT), "{statuses:?}");
    // A batch with a webhook that is already stored is refused, so its members are stored one by one.
    let statuses = send(begin + 400..begin + 600).await;
    assert!(statuses[..100].iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
    assert!(statuses[100..].iter().all(|status| *status == StatusCode::NO_CONTENT), "{statuses:?}");

    let stored = inbox(&nats).await;
    assert_eq!(stored.len() as u64, begin + 600);
    let subjects: BTreeSet<_> = stored.iter().map(|stored| stored.subject.clone()).collect();
    assert_eq!(subjects, (0..begin + 600).map(|n| format!("authentik.inbox.{}", event(n).0)).collect());
    let latest = stored.iter().skip(stored.len() - 600);
    let n_in_batches = latest.filter(|stored| stored.headers.get("Nats-Batch-Id").is_some()).count();
    assert!(n_in_batches > 1, "{n_in_batches} were stored in batches");

    let metrics = service.get("/metrics").await.text().await.unwrap();
    for metric in [
        "ingress_webhooks_total{outcome=\"stored\"}",
        "ingress_batch_size_bucket",
        "ingress_request_seconds_sum",
    ] {
        assert!(metrics.contains(metric), "{metrics}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_answered_with_2xx_survive_the_death_of_nats() {
    let mut server = NatsServer::start().await;
    server.provisioned().await;
    let service = Service::ready(&server).await;

    let sent = (0..300).map(|n| {
        let (id, body) = event(n);
        let request = service.signed(&id, &body);
        tokio::spawn(async move { (id, request.send().await.unwrap().status()) })
    });
    let sent: Vec<_> = sent.collect();
    server.kill().await;
    let begin = Instant::now();
    let answers: Vec<_> = join_all(sent).await.into_iter().map(Result::unwrap).collect();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());

    let (id, body) = event(1000);
    let answer = service.signed(&id, &body).send().await.unwrap();
    assert!(answer.headers().contains_key("retry-after"));
    problem(answer, StatusCode::SERVICE_UNAVAILABLE).await;
    eventually("the ingress is unready", || async {
        (service.get("/readyz").await.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;

    server.restart().await;
    eventually("webhooks are stored again", || async {
        service.signed(&id, &body).send().await.unwrap().status().is_success().then_some(())
    })
    .await;
    let nats = server.connect().await;
    let subjects: BTreeSet<_> = inbox(&nats).await.into_iter().map(|stored| stored.subject).collect();
    for (id, status) in answers {
        assert!(status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE, "{status}");
        assert!(!status.is_success() || subjects.contains(&format!("authentik.inbox.{id}")), "{id} is lost");
    }
    service.wait_until_ready().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_stores_every_accepted_webhook() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let sent: Vec<_> = (0..100)
        .map(|n| {
            let (id, body) = event(n);
            tokio::spawn(service.signed(&id, &body).send())
        })
        .collect();
    eventually("the first ones are stored", || async { (!inbox(&nats).await.is_empty()).then_some(()) })
        .await;
    service.stop().await;

    let answers = join_all(sent).await.into_iter().filter_map(|answer| answer.unwrap().ok());
    let n_accepted = answers.filter(|answer| answer.status().is_success()).count();
    let n_stored = inbox(&nats).await.len();
    assert!(n_accepted > 0 && n_accepted <= n_stored, "{n_accepted} accepted, {n_stored} stored");
}

/// Replaces JetStream: gives each publish this answer, or none.
async fn answer_as_jetstream(server: &NatsServer, answer: Option<&'static str>) {
    let nats = server.connect().await;
    let mut publishes = nats.client.subscribe("authentik.inbox.>").await.unwrap();
    nats.client.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(publish) = publishes.next().await {
            if let (Some(reply), Some(answer)) = (publish.reply, answer) {
                nats.client.publish(reply, answer.into()).await.unwrap();
            }
        }
    });
}

async fn check_answer(answer: &'static str, expected: StatusCode) {
    let server = NatsServer::start().await;
    answer_as_jetstream(&server, Some(answer)).await;
    let service = Service::start(&server).await;
    let (id, body) = event(1);
    // An unconnected ingress would answer 503 for another reason.
    service.wait_until_connected().await;
    let given = service.signed(&id, &body).send().await.unwrap();
    assert_eq!(given.status(), expected, "{answer}");
    service.stop().await;
}

#[tokio::test]
async fn only_an_acknowledgement_or_a_conflict_is_success() {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let checks = [
        ("{\"stream\":\"AUTHENTIK_INBOX\",\"seq\":1}", StatusCode::NO_CONTENT),
        ("{\"error\":{\"code\":400,\"err_code\":10071}}", StatusCode::OK),
        // In flight, too many batches, stream full, and no acknowledgement at all.
        ("{\"error\":{\"code\":400,\"err_code\":10164}}", unavailable),
        ("{\"error\":{\"code\":429,\"err_code\":10210}}", unavailable),
        ("{\"error\":{\"code\":503,\"err_code\":10077}}", unavailable),
        ("+OK", unavailable),
        ("", unavailable),
    ];
    join_all(checks.map(|(answer, expected)| check_answer(answer, expected))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_although_jetstream_is_silent() {
    let server = NatsServer::start().await;
    answer_as_jetstream(&server, None).await;
    let service = Service::start(&server).await;
    let begin = Instant::now();
    let events = (0..400).map(event);
    let statuses = join_all(events.map(|(id, body)| service.signed(&id, &body).send())).await;
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    for status in statuses {
        assert_eq!(status.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    service.stop().await;
}
