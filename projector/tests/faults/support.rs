//! A projector, and a fake authentik that can fail or answer slowly.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer;
use bytes::Bytes;
use domain::key::Entity;
use poem::endpoint::make;
use poem::http::StatusCode;
use poem::{Request, Response};
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::{Value, json};
use store::log::{EventLog, ReadFrom};
use store::publish::{NewMessage, publish, publish_batch};
use testkit::{NatsServer, eventually, free_port, recordings};
use tokio::sync::watch;

use crate::service::Service;

/// While authentik is held, requests for users with this key or a larger one wait.
pub const SLOW: i64 = 1000;

/// A fake authentik.
pub struct Authentik {
    status: AtomicU16,
    /// How many checks and probes of the circuit breaker it received.
    pub n_checks: AtomicU64,
    /// How many requests for a single user it received.
    pub n_user_reads: AtomicU64,
    /// How many requests for slow users wait for an answer.
    pub n_held: AtomicU64,
    is_held: watch::Sender<bool>,
    /// How many further quick requests must arrive before any of them is answered.
    n_missing: watch::Sender<usize>,
}

impl Authentik {
    /// Answers no quick request before this number of them wait at the same time.
    pub fn answering_together(n_requests: usize) -> Self {
        Self { n_missing: watch::Sender::new(n_requests), ..Self::default() }
    }

    /// Sets the status of all answers; with 200 they are users.
    pub fn answer_all(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Makes requests for slow users wait.
    pub fn hold(&self) {
        self.is_held.send_replace(true);
    }

    /// Answers the waiting requests for slow users.
    pub fn release(&self) {
        self.is_held.send_replace(false);
    }

    /// Waits for this number of further checks.
    pub async fn checked(&self, n_more: u64) {
        let before = self.n_checks.load(Ordering::SeqCst);
        eventually("authentik is checked", || async {
            (self.n_checks.load(Ordering::SeqCst) >= before + n_more).then_some(())
        })
        .await;
    }

    async fn serve(self: Arc<Self>) -> String {
        let rest = runtime::http::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", rest.address());
        let app = make(move |request| {
            let authentik = Arc::clone(&self);
            async move { Ok::<_, poem::Error>(authentik.answer(&request).await) }
        });
        tokio::spawn(rest.serve(app, CancellationToken::new()));
        url
    }

    async fn answer(&self, request: &Request) -> Response {
        let key = request.uri().path().split('/').rev().nth(1).unwrap();
        let body = match key {
            "users" | "groups" | "events" => {
                self.n_checks.fetch_add(u64::from(key == "users"), Ordering::SeqCst);
                json!({"pagination": {"next": 0, "count": 0}, "results": []})
            }
            key => self.user(key.parse().unwrap_or_default()).await,
        };
        let status = StatusCode::from_u16(self.status.load(Ordering::SeqCst)).unwrap();
        let body = if status.is_success() { body } else { json!({"detail": "not now"}) };
        Response::builder().status(status).content_type("application/json").body(body.to_string())
    }

    async fn user(&self, pk: i64) -> Value {
        self.n_user_reads.fetch_add(1, Ordering::SeqCst);
        if pk >= SLOW {
            self.n_held.fetch_add(1, Ordering::SeqCst);
            self.is_held.subscribe().wait_for(|is_held| !is_held).await.unwrap();
            self.n_held.fetch_sub(1, Ordering::SeqCst);
        } else {
            self.n_missing.send_modify(|n_missing| *n_missing = n_missing.saturating_sub(1));
            self.n_missing.subscribe().wait_for(|n_missing| *n_missing == 0).await.unwrap();
        }
        let mut user = recordings::json("rest/user.json")["body"].clone();
        user["pk"] = json!(pk);
        user
    }
}

impl Default for Authentik {
    fn default() -> Self {
        Self {
            status: AtomicU16::new(200),
            n_checks: AtomicU64::default(),
            n_user_reads: AtomicU64::default(),
            n_held: AtomicU64::default(),
            is_held: watch::Sender::new(false),
            n_missing: watch::Sender::new(0),
        }
    }
}

/// A projector with its own authentik.
pub struct Projector {
    /// `None` if another projector owns the server.
    pub server: Option<NatsServer>,
    pub nats: Nats,
    pub authentik: Arc<Authentik>,
    nats_url: String,
    health_url: String,
    service: Service,
}

impl Projector {
    pub async fn start() -> Self {
        Self::start_on(NatsServer::start().await).await
    }

    pub async fn start_on(server: NatsServer) -> Self {
        Self::start_with(server, Authentik::default(), &[]).await
    }

    /// Starts a projector with these flags; without any, sweeps are disabled.
    pub async fn start_with(server: NatsServer, authentik: Authentik, more_flags: &[&str]) -> Self {
        let projector = Self::run(server.provisioned().await, server.url(), authentik, more_flags).await;
        Self { server: Some(server), ..projector }
    }

    /// Starts another projector on the same server.
    pub async fn start_beside(&self, authentik: Authentik) -> Self {
        Self::run(self.nats.clone(), self.nats_url.clone(), authentik, &[]).await
    }

    async fn run(nats: Nats, nats_url: String, authentik: Authentik, more_flags: &[&str]) -> Self {
        let authentik = Arc::new(authentik);
        let url = Arc::clone(&authentik).serve().await;
        let more_flags = if more_flags.is_empty() { &["--sweep-interval=0"] } else { more_flags };
        let port = free_port();
        let service = Service::start(&nats_url, &url, port, more_flags);
        let health_url = format!("http://127.0.0.1:{port}");
        Self { server: None, nats, authentik, nats_url, health_url, service }
    }

    pub async fn deliver(&self, id: &str, body: &str) {
        self.put(&self.nats.namespace.inbox_subject(&id.parse().unwrap()), body.to_owned()).await;
    }

    /// Delivers a hint about each of these users with one commit.
    pub async fn deliver_hints(&self, users: impl Iterator<Item = i64>) {
        let outgoing = users.map(|pk| NewMessage {
            subject: self.nats.namespace.inbox_subject(&format!("user-{pk}").parse().unwrap()),
            headers: HeaderMap::new(),
            payload: hint(pk).into(),
            expected: None,
        });
        publish_batch(&self.nats, "hints", outgoing.collect()).await.unwrap();
    }

    /// Stores a message under any subject.
    pub async fn put(&self, subject: &str, payload: impl Into<Bytes>) {
        let (subject, payload) = (subject.to_owned(), payload.into());
        publish(&self.nats, NewMessage { subject, headers: HeaderMap::new(), payload, expected: None })
            .await
            .unwrap();
    }

    pub async fn recorded(&self, pk: i64) {
        let log = EventLog::open(&self.nats).await.unwrap();
        let filter = log.namespace().entity_filter(Entity::User(pk));
        eventually(&format!("user {pk} is recorded"), || async {
            let page = log.page(&filter, ReadFrom::Sequence(1), 10).await.ok()?;
            (page.len() == 1).then_some(())
        })
        .await;
    }

    /// Waits until exactly these users are recorded, each with one event.
    pub async fn all_recorded(&self, users: impl Iterator<Item = i64>) {
        let log = EventLog::open(&self.nats).await.unwrap();
        let users: BTreeSet<_> = users.map(Entity::User).collect();
        eventually("every user is recorded", || async {
            (log.head().await.ok()? >= users.len() as u64).then_some(())
        })
        .await;
        let page =
            log.page(&log.namespace().events_filter(None, None), ReadFrom::Sequence(1), 5_000).await.unwrap();
        let recorded: Vec<_> = page.iter().map(|message| message.decode().unwrap().event.subject).collect();
        assert_eq!(recorded.len(), users.len(), "no user is recorded twice");
        assert_eq!(BTreeSet::from_iter(recorded), users);
    }

    /// The inbox's consumer, after a projector has created it.
    pub async fn consumer(&self) -> consumer::Info {
        eventually("the consumer exists", || async {
            let inbox = self.nats.jetstream.get_stream(self.nats.namespace.inbox_stream()).await.ok()?;
            inbox.consumer_info("projector").await.ok()
        })
        .await
    }

    pub async fn n_dead_letters(&self) -> u64 {
        let letters = self.nats.jetstream.get_stream(self.nats.namespace.dead_letters_stream()).await;
        letters.unwrap().cached_info().state.messages
    }

    /// The answer of `/readyz`; empty until the projector listens.
    pub async fn readiness(&self) -> String {
        match reqwest::get(format!("{}/readyz", self.health_url)).await {
            Ok(answer) => answer.text().await.unwrap(),
            Err(_) => String::new(),
        }
    }

    /// Waits until the projector is ready.
    pub async fn becomes_ready(&self) {
        eventually("it is ready", || async { (self.readiness().await == "ready\n").then_some(()) }).await;
    }

    /// Waits until readiness contains this text.
    pub async fn says(&self, wanted: &str) {
        eventually(&format!("readiness says {wanted:?}"), || async {
            self.readiness().await.contains(wanted).then_some(())
        })
        .await;
    }

    pub async fn stop(self) -> Option<NatsServer> {
        self.service.stop().await;
        self.server
    }
}

pub fn hint(pk: i64) -> String {
    json!({"event_type": "model_updated", "pk": pk}).to_string()
}
