//! A running ingress on a free port, and requests to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_nats::HeaderMap;
use clap::Parser;
use ingress::{Config, Ingress, WEBHOOK_PATH};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use runtime::nats::Nats;
use serde_json::Value;
use testkit::recordings::{self, Webhook};
use testkit::{NatsServer, eventually};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The time of the ingress's clock at its start, in seconds since 1970.
pub const NOW: i64 = 1_795_337_559;

pub struct Service {
    pub address: String,
    pub client: Client,
    clock: Arc<AtomicI64>,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Service {
    /// Starts an ingress with the secret that signed the recordings.
    pub async fn start(nats: &NatsServer) -> Self {
        Self::start_with(nats, &["--webhook-secrets", &recordings::webhook_secret()]).await
    }

    pub async fn start_with(nats: &NatsServer, arguments: &[&str]) -> Self {
        let url = nats.url();
        let base = ["ingress", "--nats-url", &url, "--ingress-listen", "127.0.0.1:0", "--rust-log", "error"];
        let config = Config::try_parse_from(base.iter().chain(arguments)).unwrap();
        runtime::telemetry::start(&config.telemetry).unwrap();
        let clock = Arc::new(AtomicI64::new(NOW));
        let seconds = Arc::clone(&clock);
        let now = move || OffsetDateTime::from_unix_timestamp(seconds.load(Ordering::SeqCst)).unwrap().into();
        let ingress = Ingress::bind(config, Arc::new(now)).await.unwrap();
        let address = ingress.address().to_string();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(ingress.serve(shutdown.clone()));
        Self { address, client: Client::new(), clock, shutdown, task }
    }

    /// Starts an ingress and waits until it is ready.
    pub async fn ready(nats: &NatsServer) -> Self {
        let service = Self::start(nats).await;
        service.wait_until_ready().await;
        service
    }

    pub async fn wait_until_ready(&self) {
        eventually("the ingress is ready", || async {
            self.get("/readyz").await.status().is_success().then_some(())
        })
        .await;
    }

    /// Waits until NATS is connected. The streams may still be missing.
    pub async fn wait_until_connected(&self) {
        eventually("the ingress is connected to NATS", || async {
            (!self.get("/readyz").await.text().await.unwrap().contains("\"nats\"")).then_some(())
        })
        .await;
    }

    pub fn set_clock(&self, seconds: i64) {
        self.clock.store(seconds, Ordering::SeqCst);
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// A webhook without headers.
    pub fn post(&self) -> RequestBuilder {
        self.client.post(self.url(WEBHOOK_PATH))
    }

    /// A webhook signed as authentik signs it.
    pub fn signed(&self, id: &str, body: &str) -> RequestBuilder {
        let signature = recordings::sign(&recordings::webhook_secret(), id, NOW, body);
        self.post()
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", NOW.to_string())
            .header("webhook-signature", signature)
            .body(body.to_owned())
    }

    /// Sends a recorded webhook with its exact headers and body, after setting the clock to its timestamp.
    pub async fn replay(&self, webhook: &Webhook) -> Response {
        self.set_clock(webhook.timestamp());
        let mut request = self.post();
        for (name, value) in &webhook.headers {
            // The HTTP client sets these itself.
            if !["host", "connection", "content-length"].contains(&name.to_lowercase().as_str()) {
                request = request.header(name, value);
            }
        }
        request.body(webhook.body.clone()).send().await.unwrap()
    }

    /// Shuts the ingress down. Fails the test if the ingress failed.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Id and body of the event with this number.
pub fn event(n: u64) -> (String, String) {
    let id = format!("00000000-0000-4000-8000-{n:012}");
    let body = format!("{{\"schema\": \"authentik.event.v1\", \"event\": {{\"id\": \"{id}\"}}}}");
    (id, body)
}

/// A stored message.
pub struct Stored {
    pub subject: String,
    pub headers: HeaderMap,
    pub payload: Vec<u8>,
}

impl Stored {
    /// Sorted names of the headers that the ingress set. The headers of nats-server begin with `Nats-`.
    pub fn header_names(&self) -> Vec<String> {
        let names = self.headers.iter().map(|(name, _)| name.to_string());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with("Nats-")).collect();
        names.sort();
        names
    }
}

/// All messages of the inbox stream in order.
pub async fn inbox(nats: &Nats) -> Vec<Stored> {
    let stream = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    let mut stored = vec![];
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        stored.push(Stored {
            subject: message.subject.to_string(),
            headers: message.headers,
            payload: message.payload.to_vec(),
        });
    }
    stored
}

/// Number of messages on each subject of the inbox stream.
pub async fn n_by_subject(nats: &Nats) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for stored in inbox(nats).await {
        *counts.entry(stored.subject).or_insert(0) += 1;
    }
    counts
}

/// Asserts that an answer is problem details with this status. Returns its `detail`.
pub async fn problem(response: Response, status: StatusCode) -> String {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(body["status"], status.as_u16());
    assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{body}");
    body["detail"].as_str().unwrap().to_owned()
}
