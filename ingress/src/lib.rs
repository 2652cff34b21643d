//! Receives authentik's webhooks over HTTP and stores them in JetStream byte for byte.
//!
//! A webhook is answered with 2xx only after JetStream acknowledged it. It is stored once, however often authentik
//! delivers it. Ingress does not interpret webhooks; the projector does.
//!
//! [`Config`] holds the settings and [`run`] is the program. [`Ingress`] separates listening from serving, so that
//! a test can listen on port 0, learn the [`Ingress::address`], and set the [`Clock`].
//!
//! ```no_run
//! use clap::Parser;
//! use runtime::CancellationToken;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let config = ingress::Config::parse_from(["ingress", "--webhook-allow-unsigned"]);
//! ingress::run(config, CancellationToken::new()).await
//! # }
//! ```

mod breaker;
mod choice;
mod commit;
pub mod config;
mod delivery;
mod inbox;
mod load;
mod routes;
mod signature;
mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use runtime::health::Health;
use runtime::http::{self, Bound};
use runtime::nats::Nats;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::Config;
pub use routes::WEBHOOK_PATH;
pub use webhook::Clock;

use crate::commit::Committer;
use crate::webhook::Receiver;

/// How long a shutdown waits for running commits after all requests are answered.
const MAX_STORING: Duration = Duration::from_secs(2);

/// Receives webhooks until shutdown.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    Ingress::bind(config, Arc::new(runtime::clock::now)).await?.serve(shutdown).await
}

/// An ingress that listens but does not answer yet.
pub struct Ingress {
    bound: Bound,
    config: Config,
    secrets: Vec<signature::Key>,
    clock: Clock,
}

impl Ingress {
    /// Checks the settings and listens.
    pub async fn bind(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let secrets = config.keys()?;
        if secrets.is_empty() {
            tracing::warn!(
                "WEBHOOK_ALLOW_UNSIGNED is on and WEBHOOK_SECRETS is empty: anybody can send webhooks"
            );
        }
        let bound = http::bind(&config.ingress_listen).await.context("INGRESS_LISTEN")?;
        Ok(Self { bound, config, secrets, clock })
    }

    /// The address it listens on, with the actual port if the settings say port 0.
    pub fn address(&self) -> SocketAddr {
        self.bound.address()
    }

    /// Serves until shutdown, then stores the webhooks that it has accepted.
    ///
    /// Serves HTTP from the start: webhooks are answered with 503 until NATS is connected and the streams exist.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let health = Health::waiting_for(&["nats", "streams"]);
        let nats = Nats::connect(&self.config.nats, "ingress", &health).await?;
        let committer = Committer::new(nats.clone(), health.clone());
        let (inbox, queue) = inbox::channel(committer.clone());
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
        tasks.spawn(committer.clone().restore_readiness(shutdown.clone()));
        let storing = tasks.spawn(committer.run(queue, served.clone()));
        tasks.spawn({
            let shutdown = shutdown.clone();
            // It fails only at shutdown.
            async move {
                drop(nats.wait_for_streams(&[nats.namespace.inbox_stream()], &health, &shutdown).await);
            }
        });
        let result = self.bound.serve(app, shutdown.clone()).await;
        shutdown.cancel();
        served.cancel();
        tasks.close();
        // Every request is answered. authentik delivers a webhook again that was not answered with 2xx.
        if timeout(MAX_STORING, tasks.wait()).await.is_err() {
            tracing::warn!("exiting before every webhook is stored; authentik will deliver the rest again");
            return result;
        }
        storing.await.context("storing webhooks")?;
        result
    }
}
