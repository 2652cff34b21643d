//! The connection to NATS.

mod options;

use std::time::Duration;

use anyhow::Context;
use async_nats::connection::State;
use async_nats::jetstream::{self, context::ContextBuilder};
use domain::key::Namespace;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::options::{Counters, connect_options};
use crate::config::NatsConfig;
use crate::health::Health;

pub use options::ACK_TIMEOUT;

/// A connection that reconnects by itself. Clones share it.
#[derive(Clone, Debug)]
pub struct Nats {
    /// The client, for requests of core NATS.
    pub client: async_nats::Client,
    /// JetStream's API, for streams and consumers.
    pub jetstream: jetstream::Context,
    /// Prefix of the name of every stream, subject and bucket.
    pub namespace: Namespace,
    connects: watch::Receiver<u64>,
    losses: watch::Receiver<u64>,
}

impl Nats {
    /// Starts to connect and returns without waiting for the server. Reports the condition `nats` to `health`.
    ///
    /// Replies are received under `_INBOX.<name>`, so that a NATS user can be restricted to its own replies.
    /// Fails if a file or a URL of the settings is invalid.
    pub async fn connect(config: &NatsConfig, name: &str, health: &Health) -> anyhow::Result<Self> {
        let (connects_sender, connects) = watch::channel(0);
        let (losses_sender, losses) = watch::channel(0);
        let counters = Counters { connects: connects_sender, losses: losses_sender };
        let options = connect_options(config, name, health, counters).await?;
        let servers: Vec<_> = config.nats_url.split(',').map(str::trim).collect();
        let client = options.connect(servers).await.context("NATS_URL: connecting to NATS")?;
        let jetstream =
            ContextBuilder::new().timeout(ACK_TIMEOUT).ack_timeout(ACK_TIMEOUT).build(client.clone());
        Ok(Self { client, jetstream, namespace: config.nats_namespace.clone(), connects, losses })
    }

    /// Whether the client is connected, as far as it knows. Sends nothing.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Waits until the current connection is lost. Returns immediately if there is none. Cancel safe.
    ///
    /// A request that was sent over a lost connection never gets an answer.
    pub async fn lost(&self) {
        let mut losses = self.losses.clone();
        losses.mark_unchanged();
        if self.is_connected() {
            // An error means that the sender is dropped, and with it the connection.
            let _ = losses.changed().await;
        }
    }

    /// The number of connections made so far. When it changes, recreate consumers: the server may have restarted, and
    /// a consumer notices this only by missing heartbeats, which takes 30 s.
    pub fn connects(&self) -> watch::Receiver<u64> {
        let mut connects = self.connects.clone();
        connects.mark_unchanged();
        connects
    }

    /// Waits until these streams exist; only the projector creates them. Reports the condition `streams` to `health`.
    ///
    /// Fails only if the shutdown comes first.
    pub async fn wait_for_streams(
        &self,
        names: &[String],
        health: &Health,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut polls = tokio::time::interval(Duration::from_millis(250));
        let mut n_tries = 0_u32;
        loop {
            let poll = async {
                polls.tick().await;
                self.missing_stream(names).await
            };
            match shutdown.run_until_cancelled(poll).await {
                None => anyhow::bail!("shut down while waiting for the streams"),
                Some(None) => break,
                Some(Some(problem)) => {
                    if n_tries.is_multiple_of(40) {
                        tracing::info!("waiting for the streams, which the projector creates: {problem}");
                    }
                    health.failed("streams", problem);
                }
            }
            n_tries += 1;
        }
        health.ok("streams");
        Ok(())
    }

    /// Whether the inbox stream exists and has a leader. Without a leader it stores nothing, although the remaining
    /// nodes of a cluster still report the stream.
    pub async fn inbox_has_leader(&self) -> bool {
        let inbox = self.jetstream.get_stream(self.namespace.inbox_stream()).await;
        inbox.is_ok_and(|inbox| {
            // A single server reports no cluster.
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
