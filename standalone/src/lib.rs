//! Everything in one process, on a nats-server child: for the first five minutes, and for front-end tests.
//!
//! The parts are the very same programs that run alone in production; only authentik is the simulator.

mod config;
mod nats_server;
mod parts;
mod welcome;

use anyhow::Context;
use runtime::CancellationToken;
use tokio::task::JoinSet;

pub use config::Config;

use crate::nats_server::NatsServer;
use crate::parts::Parts;

/// Runs until shutdown, or until one part ends.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut nats_server = NatsServer::start(&config).await?;
    let parts = Parts::new(&config)?;
    let addresses = parts.addresses.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(simulator::run(parts.simulator, shutdown.clone()));
    tasks.spawn(ingress::run(parts.ingress, shutdown.clone()));
    tasks.spawn(projector::run(parts.projector, shutdown.clone()));
    tasks.spawn(api::run(parts.api, shutdown.clone()));
    tasks.spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.run_until_cancelled(welcome::when_ready(&addresses)).await.unwrap_or(Ok(())) }
    });
    let result = loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => break Err(error),
                Some(Err(panic)) => break Err(panic).context("a part panicked"),
                None => break Ok(()),
            },
            ended = nats_server.ended(), if !shutdown.is_cancelled() => break Err(ended),
        }
    };
    shutdown.cancel();
    while tasks.join_next().await.is_some() {}
    nats_server.stop().await;
    result
}
