//! The connection to NATS.

mod options;

use std::time::Duration;

use anyhow::Context;
use async_nats::connection::State;
use async_nats::jetstream::{self, context::ContextBuilder};
use domain::key::Namespace;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::NatsConfig;
use crate::health::Health;

/// An acknowledgement that takes longer never comes: a request must not wait for it.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that mends itself. Clones share it.
#[derive(Clone, Debug)]
pub struct Nats {
    /// For requests in the protocol itself.
    pub client: async_nats::Client,
    /// For streams and consumers.
    pub jetstream: jetstream::Context,
    /// Prefix of every name.
    pub namespace: Namespace,
    connects: watch::Receiver<u64>,
    losses: watch::Receiver<u64>,
}

/// Counts how often the connection was made, and lost.
struct Counters {
    connects: watch::Sender<u64>,
    losses: watch::Sender<u64>,
}

impl Nats {
    /// Connects; answers are read under `_INBOX.<name>`. Waits for the server, and says so, until it is there or the shutdown comes.
    pub async fn connect(config: &NatsConfig, name: &str, health: &Health) -> anyhow::Result<Self> {
        let (connects_sender, connects) = watch::channel(0);
        let (losses_sender, losses) = watch::channel(0);
        let counters = Counters { connects: connects_sender, losses: losses_sender };
        let options = options::options(config, name, health, counters).await?;
        let servers: Vec<_> = config.nats_url.split(',').map(str::trim).collect();
        let client = options.connect(servers).await.context("NATS_URL: connecting to NATS")?;
        let jetstream =
            ContextBuilder::new().timeout(ACK_TIMEOUT).ack_timeout(ACK_TIMEOUT).build(client.clone());
        Ok(Self { client, jetstream, namespace: config.nats_namespace.clone(), connects, losses })
    }

    /// Whether the server can be reached now, without asking it.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Waits until the connection that is there now is lost; where there is none, not at all. Cancel safe.
    ///
    /// What was sent over it and is not answered never will be.
    pub async fn lost(&self) {
        let mut losses = self.losses.clone();
        losses.mark_unchanged();
        if self.is_connected() {
            // Without a sender there is no connection any more.
            let _ = losses.changed().await;
        }
    }

    /// Changes with each new connection. What was subscribed to before is then to be asked for again: the server
    /// may have restarted, and a consumer notices that by missing heartbeats alone, which takes long.
    pub fn connects(&self) -> watch::Receiver<u64> {
        let mut connects = self.connects.clone();
        connects.mark_unchanged();
        connects
    }

    /// Waits until these streams are there. Only the projector makes them.
    pub async fn wait_for_streams(
        &self,
        names: &[String],
        health: &Health,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut waits = tokio::time::interval(Duration::from_millis(250));
        let mut n_tries = 0_u32;
        loop {
            let look = async {
                waits.tick().await;
                self.missing_stream(names).await
            };
            match shutdown.run_until_cancelled(look).await {
                None => anyhow::bail!("stopped while waiting for the streams"),
                Some(None) => break,
                Some(Some(problem)) => {
                    if n_tries.is_multiple_of(40) {
                        tracing::info!("waiting for the streams, which the projector makes: {problem}");
                    }
                    health.failed("streams", problem);
                }
            }
            n_tries += 1;
        }
        health.ok("streams");
        Ok(())
    }

    /// Whether the inbox is there, and a node leads it: without one nothing can be stored. The nodes that are left tell
    /// of a stream all the same.
    pub async fn inbox_has_leader(&self) -> bool {
        let inbox = self.jetstream.get_stream(self.namespace.inbox_stream()).await;
        inbox.is_ok_and(|inbox| {
            // One node alone says nothing of a cluster.
            inbox.cached_info().cluster.as_ref().is_none_or(|cluster| cluster.leader.is_some())
        })
    }

    async fn missing_stream(&self, names: &[String]) -> Option<String> {
        for name in names {
            if let Err(error) = self.jetstream.get_stream(name).await {
                return Some(format!("{name}: {error}"));
            }
        }
        None
    }
}
