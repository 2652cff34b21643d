//! Takes authentik's webhooks over HTTP and stores them in JetStream, as they came.
//!
//! A webhook is answered with 2xx only after JetStream acknowledged it, and is stored once however often it
//! is delivered. What it means is the projector's business.

mod commit;
pub mod config;
mod delivery;
mod gate;
mod inbox;
mod routes;
mod signature;
mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::timestamp::Timestamp;
use runtime::health::Health;
use runtime::http::{self, Bound};
use runtime::nats::Nats;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::Config;
pub use routes::WEBHOOK_PATH;

use crate::commit::Committer;
use crate::gate::Gate;
use crate::webhook::Receiver;

/// How long a shutdown waits for what is being stored, once all requests are answered.
const STORING: Duration = Duration::from_secs(2);

/// Tells the time: the age of a signature is measured with it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Receives webhooks until shutdown.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    Ingress::bind(config, Arc::new(runtime::clock::now)).await?.serve(shutdown).await
}

/// An ingress that listens and does not answer yet.
pub struct Ingress {
    bound: Bound,
    config: Config,
    secrets: Vec<standardwebhooks::Webhook>,
    clock: Clock,
}

impl Ingress {
    /// Checks the settings and listens.
    pub async fn bind(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let secrets = config.keys()?;
        if secrets.is_empty() {
            tracing::warn!(
                "WEBHOOK_ALLOW_UNSIGNED is on and WEBHOOK_SECRETS is empty: anybody may send webhooks"
            );
        }
        let bound = http::bind(&config.ingress_listen).await.context("INGRESS_LISTEN")?;
        Ok(Self { bound, config, secrets, clock })
    }

    /// Where it listens; tells the port where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.bound.address()
    }

    /// Serves until shutdown, then stores what it has taken.
    ///
    /// HTTP is served from the beginning: until NATS and the streams are there, webhooks are answered with 503.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let health = Health::waiting_for(&["nats", "streams"]);
        let nats = Nats::connect(&self.config.nats, "ingress", &health).await?;
        let gate = Gate::default();
        let (inbox, queue) = inbox::channel(gate.clone());
        let committer = Committer { nats: nats.clone(), gate, health: health.clone() };
        let receiver = Receiver {
            secrets: self.secrets,
            allow_unsigned: self.config.webhook_allow_unsigned,
            clock: self.clock,
            namespace: nats.namespace.clone(),
            inbox,
        };
        let app = routes::routes(receiver, &health);

        let tasks = TaskTracker::new();
        let served = CancellationToken::new();
        tasks.spawn(committer.clone().watch(shutdown.clone()));
        let storing = tasks.spawn(inbox::store_until(committer, queue, served.clone()));
        tasks.spawn({
            let shutdown = shutdown.clone();
            // Its only failure is the shutdown.
            async move {
                drop(nats.wait_for_streams(&[nats.namespace.inbox_stream()], &health, &shutdown).await);
            }
        });
        let result = self.bound.serve(app, shutdown.clone()).await;
        shutdown.cancel();
        served.cancel();
        tasks.close();
        // Nobody waits for an answer any more: what is not stored now will be delivered again.
        if timeout(STORING, tasks.wait()).await.is_err() {
            tracing::warn!("ending, though not every webhook is stored; authentik will deliver them again");
            return result;
        }
        storing.await.context("storing webhooks")?;
        result
    }
}
