//! The program: listens at once, loads the projections, then serves.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use runtime::health::Health;
use runtime::nats::Nats;
use runtime::{CancellationToken, http, program};
use tokio::task::JoinSet;

use crate::caller::RequestContext;
use crate::config::Config;
use crate::state::load::{self, CONDITION};
use crate::state::tail;
use crate::token::{AcceptedTokens, COOLDOWN, Expected, HttpKeys, KeyStore, ProxyVerifier, Tokens};
use crate::web;

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
    /// Opens the listening socket. Connections wait until [`Api::serve`] is called.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let bound = http::bind(&config.listen).await.context("API_LISTEN")?;
        Ok(Self { bound, config })
    }

    /// The address of the listening socket.
    pub fn address(&self) -> SocketAddr {
        self.bound.address()
    }

    /// Serves until shutdown. Until the projections are loaded, reads get 503 and `/readyz` gives the reason.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        tracing::info!("serving the API on http://{}", self.address());
        let health = Health::waiting_for(&["nats", "streams", CONDITION]);
        let Self { bound, config } = self;
        let context = Arc::new(RequestContext { tokens: tokens(&config)?, live: OnceLock::new() });
        let mut tasks = JoinSet::new();
        tasks.spawn(bound.serve(web::app(&config, &context, &health), shutdown.clone()));
        tasks.spawn(Arc::clone(context.tokens.keys()).keep_fresh(shutdown.clone()));
        let started = Box::pin(start(&config, &context, &health, &mut tasks, &shutdown));
        let started = shutdown.run_until_cancelled(started).await;
        program::join_started(started, tasks, &shutdown).await
    }
}

fn tokens(config: &Config) -> anyhow::Result<Tokens> {
    let source = HttpKeys::new(config.jwks_url()).context("AUTHENTIK_JWKS_URL")?;
    let keys = Arc::new(KeyStore::new(source, COOLDOWN));
    let (issuer, client_id) = (config.issuer.clone(), config.client_id.clone());
    let expected = Expected { issuer, client_id, accepted: AcceptedTokens::AccessTokens };
    Ok(Tokens::new(keys, expected, config.proxy.provider().map(ProxyVerifier::new)))
}

/// Loads the state, starts the tasks that keep it current, and opens the API to requests.
async fn start(
    config: &Config,
    context: &RequestContext,
    health: &Health,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let nats = Nats::connect(&config.nats, "api", health).await?;
    let live = load::load(config, &nats, health, shutdown).await?;
    let limit = config.stale_limit;
    let log = tail::open(&live, limit);
    tasks.spawn(tail::watch_staleness(Arc::clone(&live), log.up_to_date(), limit, shutdown.clone()));
    tasks.spawn(tail::follow(Arc::clone(&live), log, shutdown.clone()));
    tasks.spawn(tail::watch_generations(Arc::clone(&live), shutdown.clone()));
    while let Err(error) = load::wait_until_caught_up(&live).await {
        health.failed(CONDITION, format!("{error:#}"));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    health.ok(CONDITION);
    // Cannot fail: this is the only place that sets it.
    let _ = context.live.set(live);
    Ok(())
}
