//! A nats-server and a simulator without webhooks; projectors in this process or a separate one; commands.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use domain::event::EventBody;
use projector::reconcile::{LAST_SWEEP_KEY, LastSweep};
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::{Value, json};
use store::log::{EventLog, ReadFrom};
use store::views;
use testkit::{NatsServer, eventually, free_port, program};
use tokio::process::Child;

use crate::service::Service;

pub struct World {
    pub server: NatsServer,
    pub nats: Nats,
    pub log: EventLog,
    /// The URL of authentik for projectors and commands.
    pub authentik: String,
    simulator: String,
}

/// A projector in this process.
pub struct Sweeping {
    pub health_url: String,
    service: Service,
}

async fn simulator() -> String {
    let config = simulator::Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        api_token: Some("token".into()),
        admin_token: Some("admin".into()),
        ..simulator::Config::default()
    };
    let simulator = simulator::bind(config).await.unwrap();
    let url = format!("http://{}", simulator.local_addr());
    tokio::spawn(simulator.serve(CancellationToken::new()));
    url
}

impl World {
    pub async fn new() -> Self {
        let server = NatsServer::start().await;
        let nats = server.provisioned().await;
        let log = EventLog::open(&nats).await.unwrap();
        let simulator = simulator().await;
        Self { server, nats, log, authentik: simulator.clone(), simulator }
    }

    /// Starts a projector in this process with a full pass every second.
    pub fn sweep(&self) -> Sweeping {
        self.sweep_with(&["--sweep-interval=1"])
    }

    /// Starts a projector in this process with additional flags.
    pub fn sweep_with(&self, flags: &[&str]) -> Sweeping {
        let port = free_port();
        let service = Service::start(&self.server.url(), &self.authentik, port, flags);
        Sweeping { health_url: format!("http://127.0.0.1:{port}"), service }
    }

    /// Starts the real binary.
    pub fn start(&self, arguments: &[&str]) -> Child {
        program::command(env!("CARGO_BIN_EXE_projector"), &self.server.store_dir())
            .env("NATS_URL", self.server.url())
            .env("AUTHENTIK_URL", &self.authentik)
            .env("AUTHENTIK_TOKEN", "token")
            .env("PROJECTOR_LISTEN", "127.0.0.1:0")
            .env("RUST_LOG", "warn")
            .args(arguments)
            .spawn()
            .unwrap()
    }

    /// Runs the real binary. Returns its exit status, standard output and standard error.
    pub async fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        program::finish(self.start(arguments)).await
    }

    /// Runs `projector catch-up --json`, which must succeed. Returns the printed JSON.
    pub async fn catch_up(&self, arguments: &[&str]) -> Value {
        let (status, printed, said) = self.command(&[&["catch-up", "--json"], arguments].concat()).await;
        assert_eq!(status, 0, "{arguments:?}: {said}");
        serde_json::from_str(&printed).unwrap()
    }

    /// Changes authentik without a webhook.
    pub async fn silently(&self, change: Value) -> Value {
        self.control("silent", change).await
    }

    pub async fn control(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/_control/{path}", self.simulator);
        let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{body}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    /// Creates this number of users. Returns their keys.
    pub async fn create_users(&self, count: u32) -> Vec<i64> {
        let made = self.silently(json!({"op": "create_users", "count": count})).await;
        (made["first_pk"].as_i64().unwrap()..=made["last_pk"].as_i64().unwrap()).collect()
    }

    /// The keys of a group's members.
    pub async fn members_of(&self, group: &str) -> Vec<i64> {
        let state = self.state().await;
        let groups = state["groups"].as_array().unwrap();
        let group = groups.iter().find(|known| known["name"] == group).unwrap();
        group["users"].as_array().unwrap().iter().map(|pk| pk.as_i64().unwrap()).collect()
    }

    pub async fn delete_users(&self, pks: &[i64]) {
        for pk in pks {
            self.silently(json!({"op": "delete_user", "pk": pk})).await;
        }
    }

    pub async fn state(&self) -> Value {
        self.read("state").await
    }

    /// How many requests for a single user the simulator received.
    pub async fn n_single_reads(&self) -> u64 {
        self.read("reads").await["user"].as_u64().unwrap_or_default()
    }

    async fn read(&self, path: &str) -> Value {
        let answer = reqwest::get(format!("{}/_control/{path}", self.simulator)).await;
        answer.unwrap().json().await.unwrap()
    }

    /// All recorded events, by subject.
    pub async fn recorded(&self) -> BTreeMap<String, Vec<EventBody>> {
        self.recorded_from(1).await
    }

    /// The events recorded since a sequence, by subject.
    pub async fn recorded_from(&self, mut from: u64) -> BTreeMap<String, Vec<EventBody>> {
        let mut recorded = BTreeMap::<_, Vec<_>>::new();
        let filter = self.log.namespace().events_filter(None, None);
        loop {
            let page = self.log.page(&filter, ReadFrom::Sequence(from), 200).await.unwrap();
            let Some(last) = page.last() else { return recorded };
            from = last.sequence + 1;
            for event in page.iter().filter_map(|message| message.decode().ok()) {
                recorded.entry(event.event.subject.to_string()).or_default().push(event.event.body);
            }
        }
    }

    pub async fn types_of(&self, subject: &str) -> Vec<&'static str> {
        let recorded = self.recorded().await;
        recorded.get(subject).into_iter().flatten().map(|body| body.event_type().as_str()).collect()
    }

    pub async fn n_deleted(&self) -> usize {
        let recorded = self.recorded().await;
        recorded.values().flatten().filter(|body| matches!(body, EventBody::UserDeleted(_))).count()
    }

    /// Waits for the completion of a full pass that began after this call.
    pub async fn swept(&self) -> LastSweep {
        let before = runtime::clock::now();
        eventually("a new full pass is completed", || async {
            self.last_sweep().await.filter(|last| last.began > before)
        })
        .await
    }

    pub async fn last_sweep(&self) -> Option<LastSweep> {
        let meta = self.nats.namespace.meta_bucket();
        Some(views::read(&self.nats, &meta, LAST_SWEEP_KEY).await.ok()??.value)
    }

    /// Fails unless the log has exactly one event for each user and group: its registration or creation.
    pub async fn everything_is_imported_once(&self) {
        let (state, recorded) = (self.state().await, self.recorded().await);
        for (subject, bodies) in &recorded {
            let types: Vec<_> = bodies.iter().map(|body| body.event_type().as_str()).collect();
            let expected = if subject.starts_with("user/") { "user-registered" } else { "group-created" };
            assert_eq!(types, [expected], "{subject}");
        }
        let n_all = state["n_users"].as_u64().unwrap() + state["n_groups"].as_u64().unwrap();
        assert_eq!(recorded.len() as u64, n_all);
    }
}

impl Sweeping {
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

    /// Waits until readiness contains these words.
    pub async fn says(&self, words: &str) {
        eventually(&format!("readiness says {words:?}"), || async {
            self.readiness().await.contains(words).then_some(())
        })
        .await;
    }

    pub async fn stop(self) {
        self.service.stop().await;
    }
}
