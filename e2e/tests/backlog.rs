//! A projector's memory does not grow with its backlog.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::HeaderMap;
use e2e::process::Process;
use poem::endpoint::make_sync;
use poem::http::StatusCode;
use poem::{Request, Response};
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::json;
use store::publish::{NewMessage, publish_batch};
use tempfile::TempDir;
use testkit::free_port;
use testkit::{NatsServer, eventually, recordings};

/// A small backlog, for comparison.
const FEW: u64 = 2_000;

/// Deliveries to process before memory is measured.
const N_PROCESSED: u64 = 1_500;

/// Users that the deliveries are about. State may grow with users, but not with the backlog.
const N_USERS: u64 = 200;

/// The largest batch that nats-server accepts.
const BATCH: u64 = 1_000;

/// Upper limit with any backlog, in kB. A debug build needs about 50 MB.
const MAX_MEMORY: u64 = 150_000;

/// Memory with a large backlog may be at most this percentage of that with a small one.
const MAX_GROWTH: u64 = 140;

/// An authentik that knows every user, or answers every request with 503.
struct Authentik {
    url: String,
    n_checks: Arc<AtomicU64>,
    shutdown: CancellationToken,
}

impl Authentik {
    async fn start(is_available: bool) -> Self {
        let rest = runtime::http::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", rest.address());
        let n_checks = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&n_checks);
        let user = recordings::json("rest/user.json")["body"].clone();
        let app = make_sync(move |request: Request| {
            let key = request.uri().path().split('/').rev().nth(1).unwrap_or_default();
            let body = if let Ok(pk) = key.parse::<u64>() {
                let mut user = user.clone();
                user["pk"] = json!(pk);
                user
            } else {
                counted.fetch_add(u64::from(key == "users"), Ordering::SeqCst);
                json!({"pagination": {"next": 0, "count": 0}, "results": []})
            };
            let status = if is_available { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            Response::builder().status(status).content_type("application/json").body(body.to_string())
        });
        let shutdown = CancellationToken::new();
        tokio::spawn(rest.serve(app, shutdown.clone()));
        Self { url, n_checks, shutdown }
    }
}

impl Drop for Authentik {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A projector with a backlog.
struct Backlog {
    projector: Process,
    url: String,
    authentik: Authentik,
    nats: Nats,
    _server: NatsServer,
    _directory: TempDir,
}

impl Backlog {
    async fn start(n_deliveries: u64, is_available: bool) -> Self {
        let server = NatsServer::start().await;
        let nats = server.provisioned().await;
        for first in (0..n_deliveries).step_by(usize::try_from(BATCH).unwrap()) {
            let batch = (first..n_deliveries.min(first + BATCH)).map(|n| NewMessage {
                subject: nats.namespace.inbox_subject(&format!("delivery-{n}").parse().unwrap()),
                headers: HeaderMap::new(),
                payload: json!({"event_type": "model_updated", "pk": n % N_USERS + 1}).to_string().into(),
                expected: None,
            });
            publish_batch(&nats, &format!("from-{first}"), batch.collect()).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let authentik = Authentik::start(is_available).await;
        let listen = format!("127.0.0.1:{}", free_port());
        let url = format!("http://{listen}");
        let environment = vec![
            ("NATS_URL", server.url()),
            ("PROJECTOR_LISTEN", listen),
            ("AUTHENTIK_URL", authentik.url.clone()),
            ("AUTHENTIK_TOKEN", "token".to_owned()),
            ("SWEEP_INTERVAL", "0".to_owned()),
        ];
        let projector = Process::start("projector", directory.path(), environment);
        Self { projector, url, authentik, nats, _server: server, _directory: directory }
    }

    async fn process(&self, n_deliveries: u64) {
        eventually(&format!("{n_deliveries} deliveries are processed"), || async {
            let inbox = self.nats.jetstream.get_stream(self.nats.namespace.inbox_stream()).await.ok()?;
            let consumer = inbox.consumer_info("projector").await.ok()?;
            (consumer.ack_floor.stream_sequence >= n_deliveries).then_some(())
        })
        .await;
    }

    /// Stops the projector. Returns its peak memory in kB.
    async fn end(mut self) -> u64 {
        let memory = self.projector.peak_memory();
        self.projector.terminate().await;
        memory
    }
}

/// Peak memory in kB after part of the backlog is processed.
async fn memory_at_work(n_deliveries: u64) -> u64 {
    let backlog = Backlog::start(n_deliveries, true).await;
    backlog.process(N_PROCESSED).await;
    backlog.end().await
}

/// Peak memory in kB after some probes of an unavailable authentik.
async fn memory_in_an_outage(n_deliveries: u64) -> u64 {
    let backlog = Backlog::start(n_deliveries, false).await;
    eventually("authentik is probed", || async {
        (backlog.authentik.n_checks.load(Ordering::SeqCst) >= 3).then_some(())
    })
    .await;
    let log = backlog.projector.log();
    assert_eq!(
        log.matches("hints wait in the inbox").count(),
        1,
        "the opening of the circuit breaker must be logged once\n{log}"
    );
    let metrics = reqwest::get(format!("{}/metrics", backlog.url)).await.unwrap().text().await.unwrap();
    for line in ["projector_authentik_circuit_open 1", "projector_authentik_circuit_openings_total 1"] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(log.lines().count() < 30, "an outage must not be logged for each hint\n{log}");
    backlog.end().await
}

fn check(few: u64, many: u64) {
    eprintln!("{few} kB with few deliveries, {many} kB with many");
    assert!(many <= MAX_MEMORY, "{many} kB is too much");
    assert!(many * 100 <= few * MAX_GROWTH, "{many} kB with many deliveries, {few} kB with few");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_a_backlog_of_100_000() {
    check(memory_in_an_outage(FEW).await, memory_in_an_outage(100_000).await);
    check(memory_at_work(FEW).await, memory_at_work(100_000).await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn memory_does_not_grow_with_a_backlog_of_1_000_000() {
    check(memory_in_an_outage(FEW).await, memory_in_an_outage(1_000_000).await);
    check(memory_at_work(FEW).await, memory_at_work(1_000_000).await);
}
