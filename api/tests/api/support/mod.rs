//! The environment of one test: a nats-server, an identity provider and an API.

pub mod events;
pub mod keys;
pub mod other_keys;
pub mod project;
pub mod sse;

use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime};

use api::{Api, Config};
use clap::Parser;
use domain::event::{Event, EventBody};
use domain::key::UserPk;
use poem::endpoint::make_sync;
use poem::{EndpointExt, Route};
use reqwest::{Method, Response, StatusCode};
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::Value;
use store::log::EventLog;
use testkit::{NatsServer, eventually};
use tokio::task::JoinHandle;

use keys::SigningKey;

use crate::contract::check_declared;

/// Shared by all tests, because generating a key is slow.
pub static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate("first"));

pub const ADMINS: &str = "authentik Admins";

pub struct World {
    pub server: NatsServer,
    pub nats: Nats,
    pub log: EventLog,
    pub issuer: String,
    pub jwks: Arc<Mutex<String>>,
    pub api: Running,
    idp: CancellationToken,
}

/// A running API.
pub struct Running {
    pub url: String,
    pub shutdown: CancellationToken,
    pub task: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.idp.cancel();
        self.api.shutdown.cancel();
    }
}

impl World {
    pub async fn start() -> Self {
        Self::with(&[], &[]).await
    }

    /// Starts the API with additional settings, after recording and projecting these events.
    pub async fn with(settings: &[&str], recorded: &[EventBody]) -> Self {
        let server = NatsServer::start().await;
        let nats = server.provisioned().await;
        let log = EventLog::open(&nats).await.unwrap();
        let (issuer, jwks, idp) = identity_provider().await;
        for body in recorded {
            record(&log, body.clone()).await;
        }
        if !recorded.is_empty() {
            project::all(&nats, &log).await;
        }
        let api = run_api(&server, &issuer, settings).await;
        let world = Self { server, nats, log, issuer, jwks, api, idp };
        world.ready().await;
        world
    }

    /// Stops the API, and starts a new one.
    pub async fn restart_api(&mut self) {
        self.api.stop().await;
        self.api = run_api(&self.server, &self.issuer, &[]).await;
        self.ready().await;
    }

    /// Starts a second API, and returns it.
    pub async fn another_api(&mut self) -> Running {
        let first = std::mem::replace(&mut self.api, run_api(&self.server, &self.issuer, &[]).await);
        self.ready().await;
        std::mem::replace(&mut self.api, first)
    }

    /// Stops the identity provider, so that keys cannot be fetched any more.
    pub async fn end_identity_provider(&self) {
        self.idp.cancel();
        eventually("the identity provider has stopped", || async {
            reqwest::get(format!("{}jwks/", self.issuer)).await.is_err().then_some(())
        })
        .await;
    }

    async fn ready(&self) {
        eventually("the API is ready", || async {
            let is_running = self.api.task.as_ref().is_some_and(|task| !task.is_finished());
            assert!(is_running, "the API ended instead of becoming ready");
            let answer = reqwest::get(format!("{}/readyz", self.api.url)).await.ok()?;
            (answer.status() == StatusCode::OK).then_some(())
        })
        .await;
    }

    /// Appends an event, and waits until the API has applied it. Returns its sequence.
    pub async fn record(&self, body: EventBody) -> u64 {
        let sequence = record(&self.log, body).await;
        self.wait_until_applied(sequence).await;
        sequence
    }

    pub async fn wait_until_applied(&self, sequence: u64) {
        let admin = self.admin();
        eventually("the API has applied the event", || async {
            let status = self.json("/api/status", Some(&admin)).await;
            (status["feed"]["sequence"].as_u64()? >= sequence).then_some(())
        })
        .await;
    }

    /// A token of an admin who is not recorded.
    pub fn admin(&self) -> String {
        self.token(999_999, &[ADMINS])
    }

    pub fn token(&self, pk: UserPk, groups: &[&str]) -> String {
        KEY.sign(&keys::claims(&self.issuer, &events::uuid(pk).to_string(), now(), groups))
    }

    pub async fn call(&self, method: Method, path: &str, token: Option<&str>) -> Response {
        let request = reqwest::Client::new().request(method.clone(), format!("{}{path}", self.api.url));
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        let answer = request.send().await.expect("calling the API");
        check_declared(&method, path, answer.status().as_u16());
        answer
    }

    pub async fn get(&self, path: &str, token: Option<&str>) -> Response {
        self.call(Method::GET, path, token).await
    }

    /// The body of an answer, which must be 200.
    pub async fn json(&self, path: &str, token: Option<&str>) -> Value {
        let answer = self.get(path, token).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    /// A cursor of the stream of events.
    pub fn cursor(&self, sequence: u64) -> String {
        format!("{}-{sequence}", self.log.epoch())
    }
}

impl Running {
    pub async fn stop(&mut self) {
        self.shutdown.cancel();
        if let Some(task) = self.task.take() {
            task.await.expect("the API does not panic").expect("the API ends without an error");
        }
    }
}

/// Checks an error answer, and returns its detail.
pub async fn problem(answer: Response, status: u16) -> String {
    assert_eq!(answer.status().as_u16(), status, "{}", answer.url());
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{}", answer.url());
    let body: Value = answer.json().await.expect("a problem is JSON");
    assert_eq!(body["status"], status);
    body["detail"].as_str().expect("a problem has a detail").to_owned()
}

/// Appends an event after the newest one of its entity.
pub async fn record(log: &EventLog, body: EventBody) -> u64 {
    let entity = events::entity(&body);
    let position = log.newest(entity).await.unwrap().map_or(0, |newest| newest.sequence);
    let event: Event = events::event(entity, position, 0, body);
    log.append(entity, position, &[event]).await.unwrap().sequence
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Fails if more than `seconds` have passed since `begin`.
#[track_caller]
pub fn check_within(seconds: u64, begin: Instant) {
    assert!(begin.elapsed() <= Duration::from_secs(seconds), "{:?}", begin.elapsed());
}

async fn identity_provider() -> (String, Arc<Mutex<String>>, CancellationToken) {
    let bound = runtime::http::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}/application/o/events/", bound.address());
    let jwks = Arc::new(Mutex::new(keys::jwks(&[&KEY])));
    let served = Arc::clone(&jwks);
    let answer = make_sync(move |_| served.lock().unwrap().clone());
    let app = Route::new().at("/application/o/events/jwks/", answer.boxed());
    let shutdown = CancellationToken::new();
    tokio::spawn(bound.serve(app, shutdown.clone()));
    (issuer, jwks, shutdown)
}

async fn run_api(server: &NatsServer, issuer: &str, settings: &[&str]) -> Running {
    let url = server.url();
    let base = ["api", "--api-listen", "127.0.0.1:0", "--nats-url", &url, "--authentik-issuer", issuer];
    let config = Config::try_parse_from(base.iter().chain(settings)).unwrap();
    let api = Api::bind(config).await.unwrap();
    let url = format!("http://{}", api.address());
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(api.serve(shutdown.clone()));
    Running { url, shutdown, task: Some(task) }
}
