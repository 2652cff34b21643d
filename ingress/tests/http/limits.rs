//! A disk that is full, and streams at their limits: nothing is accepted that is not kept.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::jetstream::stream::Config;
use futures_util::future::join_all;
use reqwest::StatusCode;
use runtime::nats::Nats;
use testkit::{NatsServer, eventually};

use crate::service::{Service, event, inbox};

/// Makes each webhook this large, so that a few dozen fill what there is.
const PADDING: usize = 4096;
const N_WEBHOOKS: u64 = 200;

/// Sends them all at once; returns those that were accepted.
async fn send(service: &Service, webhooks: std::ops::Range<u64>) -> BTreeSet<u64> {
    let answers = join_all(webhooks.map(|n| async move {
        let (id, body) = event(n);
        let body = body.replacen('{', &format!("{{\"padding\": \"{}\", ", "x".repeat(PADDING)), 1);
        (n, service.signed(&id, &body).send().await.unwrap().status())
    }))
    .await;
    let refused = answers.iter().filter(|(_, status)| !status.is_success());
    for (n, status) in refused {
        assert_eq!(*status, StatusCode::SERVICE_UNAVAILABLE, "{n}");
    }
    answers.into_iter().filter(|(_, status)| status.is_success()).map(|(n, _)| n).collect()
}

/// In small portions, until one is refused: what comes together is stored together, or not at all.
async fn fill(service: &Service) -> BTreeSet<u64> {
    let mut accepted = BTreeSet::new();
    for begin in (0..N_WEBHOOKS).step_by(5) {
        let of_portion = send(service, begin..begin + 5).await;
        let is_full = of_portion.len() < 5;
        accepted.extend(of_portion);
        if is_full {
            return accepted;
        }
    }
    panic!("{N_WEBHOOKS} webhooks were accepted: nothing is full");
}

/// What was accepted is there once, and nothing is there twice.
async fn are_stored_once(nats: &Nats, accepted: &BTreeSet<u64>) {
    let mut counts = BTreeMap::new();
    for stored in inbox(nats).await {
        *counts.entry(stored.subject).or_insert(0) += 1;
    }
    for n in accepted {
        assert_eq!(counts.get(&format!("authentik.inbox.{}", event(*n).0)), Some(&1), "webhook {n}");
    }
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

/// Readiness says why a webhook was refused.
async fn readiness_says(service: &Service, said: &str) {
    eventually(&format!("readiness says {said:?}"), || async {
        send(service, N_WEBHOOKS - 1..N_WEBHOOKS).await;
        let answer = service.get("/readyz").await.text().await.unwrap();
        answer.contains(said).then_some(())
    })
    .await;
}

/// Sends all until all are accepted, those among them that were before.
async fn all_are_accepted(service: &Service) -> BTreeSet<u64> {
    eventually("every webhook is accepted", || async {
        let accepted = send(service, 0..N_WEBHOOKS).await;
        (accepted.len() as u64 == N_WEBHOOKS).then_some(accepted)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_before_the_disk_was_full_is_there_and_goes_on_after_a_restart() {
    let mut server = NatsServer::start_with("jetstream { sync_interval: always }").await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    server.limit_file_size(Some(256 * 1024)).await;
    let mut accepted = fill(&service).await;
    readiness_says(&service, "jetstream").await;
    // Retries, alone and together, while it is full.
    for _ in 0..3 {
        accepted.extend(send(&service, 0..N_WEBHOOKS).await);
        accepted.extend(send(&service, N_WEBHOOKS - 1..N_WEBHOOKS).await);
    }
    assert!(accepted.len() > 10 && (accepted.len() as u64) < N_WEBHOOKS, "{} accepted", accepted.len());

    // There is room again. A store whose write failed takes nothing until the server is restarted.
    server.restart().await;
    eventually("NATS is back", || async { nats.is_connected().then_some(()) }).await;
    are_stored_once(&nats, &accepted).await;
    accepted.extend(all_are_accepted(&service).await);
    service.wait_until_ready().await;
    are_stored_once(&nats, &accepted).await;
    service.stop().await;
}

/// The inbox's configuration with a limit, and as it was.
async fn limited(nats: &Nats, limit: impl FnOnce(&mut Config)) -> Config {
    let stream = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    let before = stream.cached_info().config.clone();
    let mut config = before.clone();
    limit(&mut config);
    nats.jetstream.update_stream(config).await.unwrap();
    before
}

async fn check_limit(limit: impl FnOnce(&mut Config), said: &str) {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let before = limited(&nats, limit).await;
    let accepted = fill(&service).await;
    readiness_says(&service, said).await;
    assert!(accepted.len() > 10, "{} accepted", accepted.len());
    are_stored_once(&nats, &accepted).await;
    // Full or not: what is stored is told so.
    let first = *accepted.first().unwrap();
    assert_eq!(send(&service, first..first + 1).await.len(), 1);

    nats.jetstream.update_stream(before).await.unwrap();
    let accepted = all_are_accepted(&service).await;
    service.wait_until_ready().await;
    are_stored_once(&nats, &accepted).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_may_hold_no_more_messages_refuses_until_it_may() {
    check_limit(|config| config.max_messages = 42, "maximum messages exceeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_may_hold_no_more_bytes_refuses_until_it_may() {
    check_limit(|config| config.max_bytes = 200_000, "maximum bytes exceeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_store_no_more_refuses() {
    let server = NatsServer::start_with("jetstream { max_file_store: 200KB }").await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let accepted = fill(&service).await;
    readiness_says(&service, "resource").await;
    assert!(accepted.len() > 10, "{} accepted", accepted.len());
    are_stored_once(&nats, &accepted).await;
    service.stop().await;
}
