//! A nats-server, projectors on it, and an authentik in which every user exists.

use domain::key::Entity;
use futures_util::{StreamExt, stream};
use poem::endpoint::make_sync;
use poem::{IntoResponse, Response};
use projector::projections::{ProjectionName, Projections};
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::{Value, json};
use store::log::EventLog;
use store::views::{self, Pointer, pointer_key};
use testkit::events::registered;
use testkit::{NatsServer, eventually, program, recordings};
use tokio::process::Child;

use super::service::Service;

pub struct World {
    pub server: NatsServer,
    pub nats: Nats,
    pub projections: Projections,
}

impl World {
    pub async fn new() -> Self {
        let server = NatsServer::start().await;
        let nats = server.provisioned().await;
        let log = EventLog::open(&nats).await.unwrap();
        let projections = Projections { nats: nats.clone(), log, replicas: 1 };
        Self { server, nats, projections }
    }

    /// Starts a projector in this process, with a grace period for replaced generations, in seconds.
    pub async fn start_projector(&self, grace: u32) -> Service {
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
        tokio::spawn(rest.serve(app, CancellationToken::new()));
        let flags = [&format!("--rebuild-grace={grace}"), "--sweep-interval=0"];
        Service::start(&self.server.url(), &url, 0, &flags)
    }

    /// Appends an event `user-registered` for each of these users.
    pub async fn register(&self, pks: impl IntoIterator<Item = i64>) {
        let appended = stream::iter(pks).map(|pk| async move {
            self.projections.log.append(Entity::User(pk), 0, &[registered(pk, 0)]).await.unwrap();
        });
        appended.buffer_unordered(64).collect::<()>().await;
    }

    /// The generation of the projection that readers use.
    pub async fn generation(&self, name: &str) -> Option<u64> {
        let meta = self.nats.namespace.meta_bucket();
        let pointer = views::read::<Pointer>(&self.nats, &meta, &pointer_key(name)).await.unwrap();
        pointer.map(|pointer| pointer.value.generation)
    }

    /// Waits until readers of `users` use this generation with all recorded events in it, and fails if it
    /// differs from the events. Returns its fingerprint.
    pub async fn wait_until_served(&self, generation: u64) -> String {
        let head = self.projections.log.head().await.unwrap();
        let verified = eventually("readers use a generation with all recorded events", || async {
            let verified = self.projections.verify(ProjectionName::Users, |_, _| {}).await.ok()?;
            (verified.generation == generation && verified.sequence >= head).then_some(verified)
        })
        .await;
        assert!(verified.holds(), "{verified:?}");
        assert_eq!(verified.served, verified.expected);
        verified.served
    }

    pub fn start_binary(&self, arguments: &[&str]) -> Child {
        program::command(env!("CARGO_BIN_EXE_projector"), &self.server.store_dir())
            .env("NATS_URL", self.server.url())
            .env("RUST_LOG", "warn")
            .args(arguments)
            .spawn()
            .unwrap()
    }

    /// Runs the binary. Returns its exit status, standard output and standard error.
    pub async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        program::finish(self.start_binary(arguments)).await
    }

    /// Runs the binary with `--json`, which must succeed. Returns the JSON that it prints.
    pub async fn run_json(&self, arguments: &[&str]) -> Value {
        let (status, stdout, stderr) = self.run(&[arguments, &["--json"]].concat()).await;
        assert_eq!((status, stderr.as_str()), (0, ""), "{arguments:?}");
        serde_json::from_str(&stdout).unwrap()
    }
}
