//! The projector: from hints in the inbox to events, and from events to projections.

mod cli;
mod commands;
mod config;
pub mod dead_letters;
pub mod directory;
pub mod doctor;
pub mod erasure;
mod guard;
mod handle;
mod inbox;
mod lanes;
mod lease;
mod members;
mod meter;
pub mod projections;
mod record;
pub mod status;
pub mod sweep;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::view::activity::Activity;
use domain::view::groups::Groups;
use domain::view::users::Users;
use runtime::health::Health;
use runtime::nats::Nats;
use runtime::{CancellationToken, http, program, provision};
use store::log::EventLog;
use tokio::task::JoinSet;

pub use cli::{Cli, Command, cli};
pub use config::Config;
pub use directory::{AuthentikDirectory, Directory, DirectoryError};
pub use guard::allow_deletions;

use crate::directory::Breaker;
use crate::guard::Guard;
use crate::handle::Handler;
use crate::members::Members;
use crate::projections::{Projections, Runner};
use crate::record::Recorder;
use crate::sweep::{Sweep, Sweeper};

/// Runs until shutdown: provisions, takes hints from the inbox, folds projections, serves health and metrics.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    config.authentik()?;
    let health = Health::waiting_for(&["nats", "streams", "authentik", "members"]);
    let bound = http::bind(&config.listen).await.context("PROJECTOR_LISTEN")?;
    tracing::info!("serving health and metrics on http://{}", bound.address());
    let directory = AuthentikDirectory::new(&config)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(bound.serve(http::operations(&health), shutdown.clone()));
    let started =
        shutdown.run_until_cancelled(start(&config, directory, &health, &mut tasks, &shutdown)).await;
    program::all_started(started, tasks, &shutdown).await
}

async fn start(
    config: &Config,
    directory: AuthentikDirectory,
    health: &Health,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let nats = Nats::connect(&config.nats, "projector", health).await?;
    tasks.spawn(commands::tell_health(nats.clone(), health.clone(), shutdown.clone()));
    provision_until_done(&nats, config.nats_replicas, health, shutdown).await;
    let log = EventLog::open(&nats).await?;
    let members = Members::default();
    tasks.spawn(members::follow(
        members.clone(),
        nats.clone(),
        log.clone(),
        health.clone(),
        shutdown.clone(),
    ));
    let directory = Breaker::new(directory, health.clone());
    let circuit = directory.signal();
    tasks.spawn(directory.clone().watch(shutdown.clone()));
    let guard = Guard::new(nats.clone(), log.clone(), members.clone(), health.clone());
    let recorder = Arc::new(Recorder::new(directory, log.clone(), guard.clone(), config.envelope()?));
    if !config.sweep_interval.is_zero() {
        let sweep = Sweep { recorder: Arc::clone(&recorder), nats: nats.clone(), guard };
        let sweeper = Sweeper { sweep, health: health.clone(), interval: config.sweep_interval };
        tasks.spawn(sweeper.run(shutdown.clone()));
    }
    let handler = Handler::new(recorder, nats.clone(), members, config.settle);
    let inbox = inbox::Inbox { nats: nats.clone(), concurrency: config.concurrency, circuit };
    tasks.spawn(inbox.work(Arc::new(handler), shutdown.clone()));
    let projections = Projections { nats, log, replicas: config.nats_replicas };
    tasks.spawn(commands::serve(projections.clone(), shutdown.clone()));
    tasks.spawn(meter::measure_until(projections.clone(), shutdown.clone()));
    let projections = Runner { projections, grace: config.grace, health: health.clone() };
    tasks.spawn(projections.clone().run::<Users>(shutdown.clone()));
    tasks.spawn(projections.clone().run::<Groups>(shutdown.clone()));
    tasks.spawn(projections.run::<Activity>(shutdown.clone()));
    Ok(())
}

/// NATS may be away, or JetStream without a leader, when we start: that is waited for, not died of.
async fn provision_until_done(nats: &Nats, replicas: u8, health: &Health, shutdown: &CancellationToken) {
    let mut waits = tokio::time::interval(Duration::from_secs(1));
    while shutdown.run_until_cancelled(waits.tick()).await.is_some() {
        match provision::provision(nats, replicas).await {
            Ok(drift) => {
                provision::warn_of(drift);
                health.ok("streams");
                return;
            }
            Err(error) => {
                tracing::warn!("cannot make the streams yet: {error:#}");
                health.failed("streams", format!("{error:#}"));
            }
        }
    }
}
