//! A full disk and streams at their limits: the ingress accepts only webhooks that are stored.

use std::collections::BTreeSet;

use async_nats::jetstream::stream::Config;
use futures_util::future::join_all;
use reqwest::StatusCode;
use runtime::nats::Nats;
use testkit::{NatsServer, eventually};

use crate::service::{Service, event, n_by_subject};

/// Bytes added to each webhook, so that a few dozen fill the available space.
const PADDING: usize = 4096;
const N_WEBHOOKS: u64 = 200;

/// Sends these webhooks concurrently. Returns the numbers of the accepted ones.
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

/// Sends webhooks in small groups until one is refused. A large group would be one batch, refused as a whole.
async fn fill(service: &Service) -> BTreeSet<u64> {
    let mut accepted = BTreeSet::new();
    for begin in (0..N_WEBHOOKS).step_by(5) {
        let group = send(service, begin..begin + 5).await;
        let is_full = group.len() < 5;
        accepted.extend(group);
        if is_full {
            return accepted;
        }
    }
    panic!("{N_WEBHOOKS} webhooks were accepted: nothing is full");
}

/// Asserts that every accepted webhook is stored and that none is stored twice.
async fn assert_stored_once(nats: &Nats, accepted: &BTreeSet<u64>) {
    let counts = n_by_subject(nats).await;
    for n in accepted {
        assert_eq!(counts.get(&format!("authentik.inbox.{}", event(*n).0)), Some(&1), "webhook {n}");
    }
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

/// Sends a webhook until readiness gives this reason for refusing it.
async fn readiness_says(service: &Service, reason: &str) {
    eventually(&format!("readiness says {reason:?}"), || async {
        send(service, N_WEBHOOKS - 1..N_WEBHOOKS).await;
        let answer = service.get("/readyz").await.text().await.unwrap();
        answer.contains(reason).then_some(())
    })
    .await;
}

/// Sends all webhooks until all are accepted, including those that were accepted before.
async fn all_are_accepted(service: &Service) -> BTreeSet<u64> {
    eventually("every webhook is accepted", || async {
        let accepted = send(service, 0..N_WEBHOOKS).await;
        (accepted.len() as u64 == N_WEBHOOKS).then_some(accepted)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_no_accepted_webhook_and_a_restart_recovers() {
    let mut server = NatsServer::start_with("jetstream { sync_interval: always }").await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    server.limit_file_size(Some(256 * 1024)).await;
    let mut accepted = fill(&service).await;
    readiness_says(&service, "jetstream").await;
    // Retries while the disk is full, single ones and groups.
    for _ in 0..3 {
        accepted.extend(send(&service, 0..N_WEBHOOKS).await);
        accepted.extend(send(&service, N_WEBHOOKS - 1..N_WEBHOOKS).await);
    }
    assert!(accepted.len() > 10 && (accepted.len() as u64) < N_WEBHOOKS, "{} accepted", accepted.len());

    // The new process has no size limit. After a failed write nats-server stores nothing until it is restarted.
    server.restart().await;
    eventually("NATS is connected again", || async { nats.is_connected().then_some(()) }).await;
    assert_stored_once(&nats, &accepted).await;
    accepted.extend(all_are_accepted(&service).await);
    service.wait_until_ready().await;
    assert_stored_once(&nats, &accepted).await;
    service.stop().await;
}

/// Limits the inbox stream. Returns its configuration from before.
async fn limit_inbox(nats: &Nats, limit: impl FnOnce(&mut Config)) -> Config {
    let stream = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    let before = stream.cached_info().config.clone();
    let mut config = before.clone();
    limit(&mut config);
    nats.jetstream.update_stream(config).await.unwrap();
    before
}

async fn check_limit(limit: impl FnOnce(&mut Config), reason: &str) {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let before = limit_inbox(&nats, limit).await;
    let accepted = fill(&service).await;
    readiness_says(&service, reason).await;
    assert!(accepted.len() > 10, "{} accepted", accepted.len());
    assert_stored_once(&nats, &accepted).await;
    // A stored webhook gets "duplicate" although the stream is full.
    let first = *accepted.first().unwrap();
    assert_eq!(send(&service, first..first + 1).await.len(), 1);

    nats.jetstream.update_stream(before).await.unwrap();
    let accepted = all_are_accepted(&service).await;
    service.wait_until_ready().await;
    assert_stored_once(&nats, &accepted).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_at_its_message_limit_refuses_until_the_limit_is_raised() {
    check_limit(|config| config.max_messages = 42, "maximum messages exceeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_at_its_byte_limit_refuses_until_the_limit_is_raised() {
    check_limit(|config| config.max_bytes = 200_000, "maximum bytes exceeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_at_its_storage_limit_refuses() {
    let server = NatsServer::start_with("jetstream { max_file_store: 200KB }").await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let accepted = fill(&service).await;
    readiness_says(&service, "resource").await;
    assert!(accepted.len() > 10, "{} accepted", accepted.len());
    assert_stored_once(&nats, &accepted).await;
    service.stop().await;
}
