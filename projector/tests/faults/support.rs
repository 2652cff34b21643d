//! A projector, and an authentik that can be made to fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer;
use bytes::Bytes;
use clap::Parser;
use domain::key::Entity;
use poem::endpoint::make;
use poem::http::StatusCode;
use poem::{Request, Response};
use projector::Config;
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::{Value, json};
use store::log::{EventLog, ReadFrom};
use store::publish::{NewMessage, publish, publish_batch};
use testkit::{NatsServer, eventually, free_port, recordings};
use tokio::sync::watch;

/// Users from here on are slow to read while authentik is held.
pub const SLOW: i64 = 1000;

/// What answers in authentik's place.
pub struct Authentik {
    status: AtomicU16,
    /// How often it was looked at.
    pub n_checks: AtomicU64,
    /// How often it was asked for a user.
    pub n_questions: AtomicU64,
    /// How many questions about slow users wait for an answer.
    pub n_held: AtomicU64,
    is_held: watch::Sender<bool>,
    /// How many quick questions are still to be asked at once before any is answered.
    n_missing: watch::Sender<usize>,
}

impl Authentik {
    /// Answers no quick question before so many are asked at once.
    pub fn answering_together(n_questions: usize) -> Self {
        Self { n_missing: watch::Sender::new(n_questions), ..Self::default() }
    }

    /// 200 is a user.
    pub fn answer_all(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Lets questions about slow users wait.
    pub fn hold(&self) {
        self.is_held.send_replace(true);
    }

    /// Answers them.
    pub fn release(&self) {
        self.is_held.send_replace(false);
    }

    /// Waits until it was looked at so many more times.
    pub async fn looked_at(&self, n_more: u64) {
        let before = self.n_checks.load(Ordering::SeqCst);
        eventually("authentik is looked at", || async {
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
        self.n_questions.fetch_add(1, Ordering::SeqCst);
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
            n_questions: AtomicU64::default(),
            n_held: AtomicU64::default(),
            is_held: watch::Sender::new(false),
            n_missing: watch::Sender::new(0),
        }
    }
}

/// A projector with an authentik of its own.
pub struct Projector {
    /// Nothing where it works beside another one.
    pub server: Option<NatsServer>,
    pub nats: Nats,
    pub authentik: Arc<Authentik>,
    nats_url: String,
    health_url: String,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Projector {
    pub async fn start() -> Self {
        Self::start_on(NatsServer::start().await).await
    }

    pub async fn start_on(server: NatsServer) -> Self {
        Self::start_with(server, Authentik::default(), &[]).await
    }

    /// With these flags, or without sweeps.
    pub async fn start_with(server: NatsServer, authentik: Authentik, more_flags: &[&str]) -> Self {
        let projector = Self::run(server.provisioned().await, server.url(), authentik, more_flags).await;
        Self { server: Some(server), ..projector }
    }

    /// Another one on the same server.
    pub async fn start_beside(&self, authentik: Authentik) -> Self {
        Self::run(self.nats.clone(), self.nats_url.clone(), authentik, &[]).await
    }

    async fn run(nats: Nats, nats_url: String, authentik: Authentik, more_flags: &[&str]) -> Self {
        let authentik = Arc::new(authentik);
        let url = Arc::clone(&authentik).serve().await;
        let shutdown = CancellationToken::new();
        let listen = free_port();
        let flags = [
            "projector".to_owned(),
            format!("--nats-url={nats_url}"),
            format!("--projector-listen=127.0.0.1:{listen}"),
            format!("--authentik-url={url}"),
            "--authentik-token=token".to_owned(),
        ];
        let more_flags = if more_flags.is_empty() { &["--sweep-interval=0"] } else { more_flags };
        let flags = flags.into_iter().chain(more_flags.iter().map(|flag| (*flag).to_owned()));
        let running = tokio::spawn(projector::run(Config::parse_from(flags), shutdown.clone()));
        let health_url = format!("http://127.0.0.1:{listen}");
        Self { server: None, nats, authentik, nats_url, health_url, shutdown, running }
    }

    pub async fn deliver(&self, id: &str, body: &str) {
        self.put(&self.nats.namespace.inbox_subject(&id.parse().unwrap()), body.to_owned()).await;
    }

    /// Delivers a hint about each of these, all at the same moment.
    pub async fn deliver_hints(&self, users: impl Iterator<Item = i64>) {
        let outgoing = users.map(|pk| NewMessage {
            subject: self.nats.namespace.inbox_subject(&format!("user-{pk}").parse().unwrap()),
            headers: HeaderMap::new(),
            payload: hint(pk).into(),
            expected: None,
        });
        publish_batch(&self.nats, "hints", outgoing.collect()).await.unwrap();
    }

    /// Stores anything anywhere.
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

    /// Waits until exactly these have been recorded, each with one event.
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
        assert_eq!(recorded.len(), users.len(), "nobody is recorded twice");
        assert_eq!(BTreeSet::from_iter(recorded), users);
    }

    /// The inbox's consumer, once a projector has made it.
    pub async fn consumer(&self) -> consumer::Info {
        eventually("the consumer is there", || async {
            let inbox = self.nats.jetstream.get_stream(self.nats.namespace.inbox_stream()).await.ok()?;
            inbox.consumer_info("projector").await.ok()
        })
        .await
    }

    pub async fn n_dead_letters(&self) -> u64 {
        let letters = self.nats.jetstream.get_stream(self.nats.namespace.dead_letters_stream()).await;
        letters.unwrap().cached_info().state.messages
    }

    /// Empty until it listens.
    pub async fn readiness(&self) -> String {
        match reqwest::get(format!("{}/readyz", self.health_url)).await {
            Ok(answer) => answer.text().await.unwrap(),
            Err(_) => String::new(),
        }
    }

    /// Waits until readiness says this.
    pub async fn says(&self, wanted: &str) {
        eventually(&format!("readiness says {wanted:?}"), || async {
            self.readiness().await.contains(wanted).then_some(())
        })
        .await;
    }

    pub async fn stop(self) -> Option<NatsServer> {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        self.server
    }
}

pub fn hint(pk: i64) -> String {
    json!({"event_type": "model_updated", "pk": pk}).to_string()
}
