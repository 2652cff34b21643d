//! The program: listens at once, loads, and then serves.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use runtime::health::Health;
use runtime::nats::Nats;
use runtime::{CancellationToken, http, program};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::live::Live;
use crate::start::{self, CONDITION};
use crate::tail;
use crate::token::{Accepted, COOLDOWN, Expected, HttpKeys, KeyStore, ProxyVerifier, Tokens};
use crate::web;

/// What a request needs before it is let in.
pub struct Gate {
    /// Whose tokens are good.
    pub tokens: Tokens,
    /// What is known; nothing before the first load is complete.
    pub live: OnceLock<Arc<Live>>,
}

/// The API, listening but not yet serving.
pub struct Api {
    bound: http::Bound,
    config: Config,
}

/// Runs until shutdown.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    Box::pin(Api::bind(config).await?.serve(shutdown)).await
}

impl Api {
    /// Listens. Requests wait until [`Api::serve`].
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let bound = http::bind(&config.listen).await.context("API_LISTEN")?;
        Ok(Self { bound, config })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.bound.address()
    }

    /// Serves until shutdown. Reads are refused, and `/readyz` says why, until everything is loaded.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        tracing::info!("serving the API on http://{}", self.address());
        let health = Health::waiting_for(&["nats", "streams", CONDITION]);
        let Self { bound, config } = self;
        let gate = Arc::new(Gate { tokens: tokens(&config)?, live: OnceLock::new() });
        let mut tasks = JoinSet::new();
        tasks.spawn(bound.serve(web::app(&config, &gate, &health), shutdown.clone()));
        let keys = Arc::clone(gate.tokens.keys()).keep_fresh(shutdown.clone());
        tasks.spawn(async move {
            keys.await;
            Ok(())
        });
        let started = Box::pin(start(&config, &gate, &health, &mut tasks, &shutdown));
        let started = shutdown.run_until_cancelled(started).await;
        program::join_started(started, tasks, &shutdown).await
    }
}

fn tokens(config: &Config) -> anyhow::Result<Tokens> {
    let source = HttpKeys::new(config.jwks_url()).context("AUTHENTIK_JWKS_URL")?;
    let keys = Arc::new(KeyStore::new(source, COOLDOWN));
    let (issuer, client_id) = (config.issuer.clone(), config.client_id.clone());
    let expected = Expected { issuer, client_id, accepted: Accepted::AccessToken };
    Ok(Tokens::new(keys, expected, config.proxy.provider().map(ProxyVerifier::new)))
}

async fn start(
    config: &Config,
    gate: &Gate,
    health: &Health,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let nats = Nats::connect(&config.nats, "api", health).await?;
    let live = start::load(config, &nats, health, shutdown).await?;
    let limit = config.stale_limit;
    let log = tail::tail(&live, live.feed.head() + 1, limit);
    tasks.spawn(tail::watch_staleness(Arc::clone(&live), log.up_to_date(), limit, shutdown.clone()));
    tasks.spawn(tail::follow(Arc::clone(&live), log, shutdown.clone()));
    tasks.spawn(tail::watch_pointers(Arc::clone(&live), shutdown.clone()));
    while let Err(error) = start::caught_up(&live).await {
        health.failed(CONDITION, format!("{error:#}"));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    health.ok(CONDITION);
    // Set here and nowhere else.
    let _ = gate.live.set(live);
    Ok(())
}
