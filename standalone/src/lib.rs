//! The whole system in one process, with a nats-server as its child: to try it out, and for front-end tests.
//!
//! It runs the same `run` functions as the separate programs in production, with the simulator in place of authentik.
//! [`Config`] holds the settings and [`run`] is the program.
//!
//! ```no_run
//! use clap::Parser;
//! use runtime::CancellationToken;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let config = standalone::Config::parse_from(["standalone", "--data-dir", "/tmp/data"]);
//! standalone::run(config, CancellationToken::new()).await
//! # }
//! ```

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

/// Runs until shutdown, or until a part or nats-server fails.
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
