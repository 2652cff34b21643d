//! What happens to deliveries that cannot be worked off now, or ever: nothing is lost, and nobody is held up.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use async_nats::HeaderMap;
use clap::Parser;
use poem::endpoint::make_sync;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use projector::Config;
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::json;
use store::log::{EventLog, From};
use store::publish::{Outgoing, publish};
use testkit::nats::inbox_is_worked_off;
use testkit::{NatsServer, eventually, free_port, recordings};

struct Projector {
    server: NatsServer,
    nats: Nats,
    /// What authentik answers; 200 is a user.
    status: Arc<AtomicU16>,
    health_url: String,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Projector {
    async fn start() -> Self {
        Self::start_on(NatsServer::start().await).await
    }

    async fn start_on(server: NatsServer) -> Self {
        let nats = server.provisioned().await;
        let status = Arc::new(AtomicU16::new(200));
        let rest = runtime::http::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", rest.address());
        let answer = Arc::clone(&status);
        let app = make_sync(move |request| {
            let status = StatusCode::from_u16(answer.load(Ordering::SeqCst)).unwrap();
            let mut user = recordings::json("rest/user.json")["body"].clone();
            let key = request.uri().path().split('/').rev().nth(1).unwrap();
            user["pk"] = json!(key.parse::<i64>().unwrap_or_default());
            let page = json!({"results": []});
            let body = match key {
                _ if !status.is_success() => json!({"detail": "not now"}),
                "users" | "groups" => page,
                _ => user,
            };
            Response::builder()
                .status(status)
                .content_type("application/json")
                .body(body.to_string())
                .into_response()
        });
        let shutdown = CancellationToken::new();
        tokio::spawn(rest.serve(app, shutdown.clone()));
        let listen = free_port();
        let flags = [
            "projector".to_owned(),
            format!("--nats-url={}", server.url()),
            format!("--projector-listen=127.0.0.1:{listen}"),
            format!("--authentik-url={url}"),
            "--authentik-token=token".to_owned(),
            "--sweep-interval=0".to_owned(),
        ];
        let running = tokio::spawn(projector::run(Config::parse_from(flags), shutdown.clone()));
        let health_url = format!("http://127.0.0.1:{listen}");
        Self { server, nats, status, health_url, shutdown, running }
    }

    async fn deliver(&self, id: &str, body: &str) {
        let subject = self.nats.namespace.inbox_subject(&id.parse().unwrap());
        let payload = body.to_owned().into();
        publish(&self.nats, Outgoing { subject, headers: HeaderMap::new(), payload, expected: None })
            .await
            .unwrap();
    }

    async fn recorded(&self, pk: i64) {
        let log = EventLog::open(&self.nats).await.unwrap();
        let filter = log.namespace().entity_filter(domain::key::Entity::User(pk));
        eventually(&format!("user {pk} is recorded"), || async {
            let page = log.page(&filter, From::Sequence(1), 10).await.ok()?;
            (page.len() == 1).then_some(())
        })
        .await;
    }

    /// Empty until it listens.
    async fn readiness(&self) -> String {
        match reqwest::get(format!("{}/readyz", self.health_url)).await {
            Ok(answer) => answer.text().await.unwrap(),
            Err(_) => String::new(),
        }
    }

    async fn stop(self) -> NatsServer {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        self.server
    }
}

fn hint(pk: i64) -> String {
    json!({"event_type": "model_updated", "pk": pk}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_no_retry_can_mend_is_kept_and_holds_nobody_up() {
    let projector = Projector::start().await;
    projector.deliver("broken", "{\"schema\": \"hint.v1\"}").await;
    projector.deliver("no-json", "<html>").await;
    projector.deliver("fine", &hint(8)).await;
    projector.recorded(8).await;
    let letters = projector.nats.jetstream.get_stream("AUTHENTIK_DEAD_LETTERS").await.unwrap();
    eventually("both broken deliveries are dead letters", || async {
        (letters.get_info().await.ok()?.state.messages == 2).then_some(())
    })
    .await;
    let letter = letters.get_last_raw_message_by_subject("authentik.dead-letters.no-json").await.unwrap();
    assert_eq!(letter.payload, "<html>");
    assert!(letter.headers.get("Dead-Letter-Reason").unwrap().as_str().contains("schema"));
    assert_eq!(letter.headers.get("Dead-Letter-Attempts").unwrap().as_str(), "1");
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_waits_for_authentik_and_readiness_says_why() {
    let projector = Projector::start().await;
    for (status, said) in [(503, "away"), (403, "refuses the token"), (302, "not authentik")] {
        projector.status.store(status, Ordering::SeqCst);
        let pk = i64::from(status);
        projector.deliver(&format!("at-{status}"), &hint(pk)).await;
        eventually("readiness names the reason", || async {
            projector.readiness().await.contains(said).then_some(())
        })
        .await;
        projector.status.store(200, Ordering::SeqCst);
        projector.recorded(pk).await;
        eventually("it is ready again", || async {
            (projector.readiness().await == "ready\n").then_some(())
        })
        .await;
    }
    let letters = projector.nats.jetstream.get_stream("AUTHENTIK_DEAD_LETTERS").await.unwrap();
    assert_eq!(letters.get_info().await.unwrap().state.messages, 0, "nothing is set aside for an outage");
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_a_restart_of_nats() {
    let mut projector = Projector::start().await;
    projector.deliver("before", &hint(1)).await;
    projector.recorded(1).await;
    projector.server.restart().await;
    eventually("NATS is back", || async { projector.nats.is_connected().then_some(()) }).await;
    projector.deliver("after", &hint(2)).await;
    projector.recorded(2).await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_inbox_delivered_once_more_records_nothing() {
    let projector = Projector::start().await;
    let names =
        ["login", "logout", "password_set_by_user", "authorize_application", "login_failed_known_user"];
    for name in names {
        let webhook = recordings::webhook(name);
        projector.deliver(webhook.header("webhook-id").unwrap(), &webhook.body).await;
    }
    let log = EventLog::open(&projector.nats).await.unwrap();
    // A registration, and one fact each.
    let n_events = names.len() as u64 + 1;
    eventually("every fact is recorded", || async { (log.head().await.ok()? == n_events).then_some(()) })
        .await;
    let server = projector.stop().await;

    // A consumer that is lost forgets what was acknowledged.
    let nats = server.connect().await;
    let inbox = nats.jetstream.get_stream("AUTHENTIK_INBOX").await.unwrap();
    inbox.delete_consumer("projector").await.unwrap();
    let projector = Projector::start_on(server).await;
    inbox_is_worked_off(&projector.nats).await;
    assert_eq!(log.head().await.unwrap(), n_events);
    projector.stop().await;
}
