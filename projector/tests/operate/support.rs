//! A projector on a server of its own, with an authentik that knows every user.

use clap::Parser;
use domain::key::Entity;
use futures_util::{StreamExt, stream};
use poem::endpoint::make_sync;
use poem::{IntoResponse, Response};
use projector::Config;
use projector::projections::{ProjectionName, Projections};
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::{Value, json};
use store::log::EventLog;
use store::views::{self, Pointer, pointer_key};
use testkit::events::registered;
use testkit::{NatsServer, eventually, program, recordings};
use tokio::process::Child;

pub struct World {
    pub server: NatsServer,
    pub nats: Nats,
    pub projections: Projections,
}

/// A projector that runs in this process.
pub struct Running {
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

impl World {
    pub async fn new() -> Self {
        let server = NatsServer::start().await;
        let nats = server.provisioned().await;
        let log = EventLog::open(&nats).await.unwrap();
        let projections = Projections { nats: nats.clone(), log, replicas: 1 };
        Self { server, nats, projections }
    }

    /// Starts a projector that deletes replaced generations after so many seconds.
    pub async fn projector(&self, grace: u32) -> Running {
        let shutdown = CancellationToken::new();
        let rest = runtime::http::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", rest.address());
        let app = make_sync(|request| {
            let key = request.uri().path().split('/').rev().nth(1).unwrap_or_default().to_owned();
            let mut user = recordings::json("rest/user.json")["body"].clone();
            user["pk"] = json!(key.parse::<i64>().unwrap_or_default());
            let page = json!({"pagination": {"next": 0, "count": 0}, "results": []});
            let body = if key == "users" || key == "groups" { page } else { user };
            Response::builder().content_type("application/json").body(body.to_string()).into_response()
        });
        tokio::spawn(rest.serve(app, shutdown.clone()));
        let flags = [
            "projector".to_owned(),
            format!("--nats-url={}", self.server.url()),
            "--projector-listen=127.0.0.1:0".to_owned(),
            format!("--authentik-url={url}"),
            "--authentik-token=token".to_owned(),
            format!("--rebuild-grace={grace}"),
            "--sweep-interval=0".to_owned(),
        ];
        let running = tokio::spawn(projector::run(Config::parse_from(flags), shutdown.clone()));
        Running { shutdown, running }
    }

    /// Records that these users were registered.
    pub async fn register(&self, pks: impl IntoIterator<Item = i64>) {
        let appended = stream::iter(pks).map(|pk| async move {
            self.projections.log.append(Entity::User(pk), 0, &[registered(pk, 0)]).await.unwrap();
        });
        appended.buffer_unordered(64).collect::<()>().await;
    }

    pub async fn generation(&self, name: &str) -> Option<u64> {
        let meta = self.nats.namespace.meta_bucket();
        let pointer = views::read::<Pointer>(&self.nats, &meta, &pointer_key(name)).await.unwrap();
        pointer.map(|pointer| pointer.value.generation)
    }

    /// Waits until readers of the users are served everything that is recorded; fails where it is not the same.
    pub async fn served(&self, generation: u64) -> String {
        let head = self.projections.log.head().await.unwrap();
        let verified = eventually("readers are served what is recorded", || async {
            let verified = self.projections.verify(ProjectionName::Users, |_, _| {}).await.ok()?;
            (verified.generation == generation && verified.sequence >= head).then_some(verified)
        })
        .await;
        assert!(verified.holds(), "{verified:?}");
        assert_eq!(verified.served, verified.expected);
        verified.served
    }

    /// Runs the real binary. Returns its exit status, what it printed, and what it said.
    pub async fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        program::finish(self.start_command(arguments)).await
    }

    /// Starts the real binary.
    pub fn start_command(&self, arguments: &[&str]) -> Child {
        program::command(env!("CARGO_BIN_EXE_projector"), &self.server.store_dir())
            .env("NATS_URL", self.server.url())
            .env("RUST_LOG", "warn")
            .args(arguments)
            .spawn()
            .unwrap()
    }

    /// Runs the real binary, which must succeed and print JSON.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let (status, printed, said) = self.command(&[arguments, &["--json"]].concat()).await;
        assert_eq!((status, said.as_str()), (0, ""), "{arguments:?}");
        serde_json::from_str(&printed).unwrap()
    }
}
