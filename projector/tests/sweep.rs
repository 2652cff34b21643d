//! What authentik never tells is found by comparing, and an authentik that looks empty deletes nobody.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use clap::Parser;
use domain::event::EventBody;
use poem::endpoint::make_sync;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use projector::Config;
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::{Value, json};
use store::log::{EventLog, From};
use testkit::{NatsServer, eventually};

/// A projector that sweeps every second, on a simulator that sends no webhooks.
struct Sweeping {
    nats: Nats,
    log: EventLog,
    authentik: String,
    health_url: String,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
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

impl Sweeping {
    async fn start(server: &NatsServer, authentik: String) -> Self {
        let nats = server.provisioned().await;
        let log = EventLog::open(&nats).await.unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let shutdown = CancellationToken::new();
        let config = Config::parse_from([
            "projector".to_owned(),
            format!("--nats-url={}", server.url()),
            format!("--projector-listen=127.0.0.1:{port}"),
            format!("--authentik-url={authentik}"),
            "--authentik-token=token".to_owned(),
            "--sweep-interval=1".to_owned(),
        ]);
        let running = tokio::spawn(projector::run(config, shutdown.clone()));
        Self { nats, log, authentik, health_url: format!("http://127.0.0.1:{port}"), shutdown, running }
    }

    async fn silently(&self, change: Value) -> Value {
        let url = format!("{}/_control/silent", self.authentik);
        let answer = reqwest::Client::new().post(url).json(&change).send().await.unwrap();
        assert!(answer.status().is_success(), "{change}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    async fn state(&self) -> Value {
        reqwest::get(format!("{}/_control/state", self.authentik)).await.unwrap().json().await.unwrap()
    }

    /// Empty until it listens.
    async fn readiness(&self) -> String {
        match reqwest::get(format!("{}/readyz", self.health_url)).await {
            Ok(answer) => answer.text().await.unwrap(),
            Err(_) => String::new(),
        }
    }

    /// Everything that was recorded, by subject.
    async fn recorded(&self) -> BTreeMap<String, Vec<EventBody>> {
        let mut recorded = BTreeMap::<_, Vec<_>>::new();
        let filter = self.log.namespace().events_filter(None, None);
        let mut from = 1;
        loop {
            let page = self.log.page(&filter, From::Sequence(from), 200).await.unwrap();
            let Some(last) = page.last() else { return recorded };
            from = last.sequence + 1;
            for message in &page {
                let event = message.decode().unwrap().event;
                recorded.entry(event.subject.to_string()).or_default().push(event.body);
            }
        }
    }

    async fn types_of(&self, subject: &str) -> Vec<&'static str> {
        let recorded = self.recorded().await;
        recorded.get(subject).into_iter().flatten().map(|body| body.event_type().as_str()).collect()
    }

    async fn n_deleted(&self) -> usize {
        let recorded = self.recorded().await;
        recorded.values().flatten().filter(|body| matches!(body, EventBody::UserDeleted(_))).count()
    }

    async fn swept(&self) -> projector::sweep::LastSweep {
        let meta = self.nats.namespace.meta_bucket();
        let before = runtime::clock::now();
        eventually("a full pass that began now is completed", || async {
            let last =
                store::views::read(&self.nats, &meta, projector::sweep::LAST_SWEEP_KEY).await.ok()??;
            let last: projector::sweep::LastSweep = last.value;
            (last.began > before).then_some(last)
        })
        .await
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_imports_everybody_once() {
    let server = NatsServer::start().await;
    let sweeping = Sweeping::start(&server, simulator().await).await;
    sweeping.silently(json!({"op": "create_users", "count": 250, "prefix": "import-"})).await;
    let swept = sweeping.swept().await;
    let state = sweeping.state().await;
    assert_eq!(json!(swept.report.n_users), state["n_users"]);
    let swept = sweeping.swept().await;
    assert_eq!((swept.report.n_imported, swept.report.n_differing, swept.report.n_missing), (0, 0, 0));
    let recorded = sweeping.recorded().await;
    for (subject, bodies) in &recorded {
        let types: Vec<_> = bodies.iter().map(|body| body.event_type().as_str()).collect();
        let expected = if subject.starts_with("user/") { "user-registered" } else { "group-created" };
        assert_eq!(types, [expected], "{subject}");
    }
    assert_eq!(
        json!(recorded.len()),
        json!(state["n_users"].as_u64().unwrap() + state["n_groups"].as_u64().unwrap())
    );
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_changes_are_found_and_recorded_once() {
    let server = NatsServer::start().await;
    let sweeping = Sweeping::start(&server, simulator().await).await;
    sweeping.swept().await;
    sweeping.silently(json!({"op": "update_user", "pk": 8, "name": "Grace B. Hopper"})).await;
    sweeping.silently(json!({"op": "add_to_group", "pk": 6, "group": "navy"})).await;
    sweeping.silently(json!({"op": "delete_user", "pk": 7})).await;
    sweeping.silently(json!({"op": "delete_group", "group": "mathematics"})).await;
    sweeping.swept().await;
    let swept = sweeping.swept().await;
    assert_eq!((swept.report.n_differing, swept.report.n_missing), (0, 0));
    assert_eq!(sweeping.types_of("user/8").await, ["user-registered", "user-updated"]);
    assert_eq!(
        sweeping.types_of("user/6").await,
        ["user-registered", "user-left-group", "user-joined-group"]
    );
    assert_eq!(sweeping.types_of("user/7").await, ["user-registered", "user-deleted"]);
    let groups = sweeping.recorded().await;
    let n_deleted =
        groups.values().flatten().filter(|body| matches!(body, EventBody::GroupDeleted(_))).count();
    assert_eq!(n_deleted, 1);
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_deletions_wait_for_an_operator() {
    let server = NatsServer::start().await;
    let sweeping = Sweeping::start(&server, simulator().await).await;
    let made = sweeping.silently(json!({"op": "create_users", "count": 30})).await;
    sweeping.swept().await;
    for pk in made["first_pk"].as_i64().unwrap()..=made["last_pk"].as_i64().unwrap() {
        sweeping.silently(json!({"op": "delete_user", "pk": pk})).await;
    }
    eventually("the brake is on", || async {
        sweeping.readiness().await.contains("the brake is on").then_some(())
    })
    .await;
    // A sweep in the middle may have found the first few.
    assert!(sweeping.n_deleted().await <= 10);
    projector::allow_deletions(&sweeping.nats, 100, runtime::clock::now()).await.unwrap();
    eventually("the rest is recorded", || async { (sweeping.n_deleted().await == 30).then_some(()) }).await;
    eventually("it is ready again", || async { (sweeping.readiness().await == "ready\n").then_some(()) })
        .await;
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_webhook_brought_is_found_in_the_event_log_once() {
    let server = NatsServer::start().await;
    let sweeping = Sweeping::start(&server, simulator().await).await;
    sweeping.swept().await;
    let url = format!("{}/_control/emit", sweeping.authentik);
    for n in 0..130 {
        let event = json!({"action": if n % 2 == 0 { "login" } else { "logout" }, "user_pk": 8});
        let answer = reqwest::Client::new().post(&url).json(&event).send().await.unwrap();
        assert!(answer.status().is_success());
    }
    let n_facts = async || sweeping.types_of("user/8").await.len() - 1;
    eventually("every fact is recorded", || async { (n_facts().await == 130).then_some(()) }).await;
    // Two more walks see them all again.
    sweeping.swept().await;
    sweeping.swept().await;
    testkit::nats::inbox_is_worked_off(&sweeping.nats).await;
    assert_eq!(n_facts().await, 130);
    let recorded = sweeping.recorded().await;
    assert!(matches!(recorded["user/8"][1], EventBody::UserLoggedIn(_)), "oldest first");
    sweeping.stop().await;
}

/// An authentik that was set up anew: nobody is there.
async fn empty_authentik() -> String {
    let bound = runtime::http::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", bound.address());
    let app = make_sync(|request| {
        let is_list = matches!(
            request.uri().path(),
            "/api/v3/core/users/" | "/api/v3/core/groups/" | "/api/v3/events/events/"
        );
        let (status, body) = if is_list {
            (StatusCode::OK, json!({"pagination": {"next": 0, "count": 0}, "results": []}))
        } else {
            (StatusCode::NOT_FOUND, json!({"detail": "No User matches the given query."}))
        };
        Response::builder()
            .status(status)
            .content_type("application/json")
            .body(body.to_string())
            .into_response()
    });
    tokio::spawn(bound.serve(app, CancellationToken::new()));
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authentik_that_is_empty_deletes_nobody() {
    let server = NatsServer::start().await;
    let sweeping = Sweeping::start(&server, simulator().await).await;
    sweeping.swept().await;
    sweeping.stop().await;
    let sweeping = Sweeping::start(&server, empty_authentik().await).await;
    let said = "another authentik than before";
    eventually("readiness says so", || async { sweeping.readiness().await.contains(said).then_some(()) })
        .await;
    assert_eq!(sweeping.n_deleted().await, 0);
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_by_whom_the_installation_is_known_can_be_deleted_too() {
    let server = NatsServer::start().await;
    let sweeping = Sweeping::start(&server, simulator().await).await;
    sweeping.swept().await;
    sweeping.silently(json!({"op": "delete_user", "pk": 3})).await;
    sweeping.silently(json!({"op": "delete_user", "pk": 9})).await;
    eventually("both are recorded as deleted", || async { (sweeping.n_deleted().await == 2).then_some(()) })
        .await;
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_by_whom_the_installation_is_known_can_be_erased_too() {
    let server = NatsServer::start().await;
    let sweeping = Sweeping::start(&server, simulator().await).await;
    sweeping.swept().await;
    let state = sweeping.state().await;
    let known = state["users"].as_array().unwrap().iter().find(|user| user["pk"] == 3).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_projector"))
        .args(["forget", "--force", "3"])
        .env_clear()
        .env("NATS_URL", server.url())
        .current_dir(server.store_dir())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    // Nor was the uuid ever where an erasure could not reach it.
    let meta = server.store_dir().join("jetstream/$G/streams/KV_authentik_meta/msgs");
    let files = std::fs::read_dir(meta).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let content: Vec<u8> = files.flatten().collect();
    let has = |text: &str| content.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("uuid_sha256") && !has(known["uuid"].as_str().unwrap()));

    sweeping.swept().await;
    sweeping.silently(json!({"op": "delete_user", "pk": 3})).await;
    sweeping.silently(json!({"op": "delete_user", "pk": 9})).await;
    eventually("deletions are recorded as before", || async {
        (sweeping.n_deleted().await == 2).then_some(())
    })
    .await;
    assert_eq!(sweeping.types_of("user/3").await, ["user-erased", "user-registered", "user-deleted"]);
    sweeping.stop().await;
}
