//! The projector turns hints from the inbox into events, and events into projections.
//!
//! `intake` takes deliveries from the inbox; `record` applies the rule to each and appends events; [`projections`]
//! builds views from the events. [`reconcile`] compares all of authentik with the recorded state.
//!
//! [`Config`] holds the settings and [`run`] is the service; [`cli`] also executes the operator's subcommands.
//! [`Directory`] is the port to authentik, [`AuthentikDirectory`] its HTTP client. [`projections::Projections`] rebuilds
//! and verifies, [`erasure::Eraser`] erases users, [`dead_letters`] lists and replays what no retry can record.
//!
//! ```no_run
//! use clap::Parser;
//! use runtime::CancellationToken;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let flags = ["projector", "--authentik-url=http://127.0.0.1:9000", "--authentik-token=secret"];
//! projector::run(projector::Config::parse_from(flags), CancellationToken::new()).await
//! # }
//! ```

mod config;
mod connect;
pub mod dead_letters;
mod delivery;
pub mod directory;
pub mod doctor;
pub mod erasure;
mod fingerprint;
mod intake;
mod lease;
mod operate;
pub mod projections;
pub mod reconcile;
mod record;

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

pub use config::Config;
pub use directory::{AuthentikDirectory, Directory, DirectoryError};
pub use operate::cli::{Cli, Subcommand, cli};
pub use operate::status;
pub use record::guard::allow_deletions;

use crate::directory::Breaker;
use crate::intake::{Handler, Inbox};
use crate::operate::{meter, server};
use crate::projections::{Projections, Runner};
use crate::reconcile::{Sweep, Sweeper};
use crate::record::Recorder;
use crate::record::brake::Brake;
use crate::record::guard::Guard;
use crate::record::members::{self, Members};

/// Runs the projector until shutdown.
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
    program::join_started(started, tasks, &shutdown).await
}

async fn start(
    config: &Config,
    directory: AuthentikDirectory,
    health: &Health,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let nats = Nats::connect(&config.nats, "projector", health).await?;
    tasks.spawn(server::answer_health(nats.clone(), health.clone(), shutdown.clone()));
    provision_until_done(&nats, config.nats_replicas, health, shutdown).await;
    let log = EventLog::open(&nats).await?;
    let projector = Projector { config, nats, log, health, shutdown };
    let brake = projector.start_recording(directory, tasks)?;
    projector.start_projecting(brake, tasks);
    Ok(())
}

/// The dependencies that the tasks of the projector share.
struct Projector<'a> {
    config: &'a Config,
    nats: Nats,
    log: EventLog,
    health: &'a Health,
    shutdown: &'a CancellationToken,
}

impl Projector<'_> {
    /// Starts the tasks that append events: the workers on the inbox, and the sweeper unless it is disabled. Returns the
    /// brake that limits their deletions.
    fn start_recording(
        &self,
        directory: AuthentikDirectory,
        tasks: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<Brake> {
        let Self { config, nats, log, .. } = self;
        let (health, shutdown) = (|| self.health.clone(), || self.shutdown.clone());
        let members = Members::default();
        tasks.spawn(members::follow(members.clone(), nats.clone(), log.clone(), health(), shutdown()));
        let directory = Breaker::new(directory, health());
        let circuit = directory.signal();
        tasks.spawn(directory.clone().watch(shutdown()));
        let guard = Guard::new(nats.clone(), log.clone(), members.clone());
        let brake = guard.brake().clone();
        tasks.spawn(guard.clone().watch(directory.clone(), health(), shutdown()));
        let recorder = Arc::new(Recorder::new(directory, log.clone(), guard.clone(), config.envelope()?));
        if !config.sweep_interval.is_zero() {
            let sweep = Sweep { recorder: Arc::clone(&recorder), nats: nats.clone(), guard };
            let sweeper = Sweeper { sweep, health: health(), interval: config.sweep_interval };
            tasks.spawn(sweeper.run(shutdown()));
        }
        let handler = Arc::new(Handler::new(recorder, nats.clone(), members, config.settle));
        let inbox = Inbox { nats: nats.clone(), concurrency: config.concurrency, circuit };
        tasks.spawn(inbox.work(handler, shutdown()));
        Ok(brake)
    }

    /// Starts the tasks that read events: a runner for each projection, operator commands, and metrics.
    fn start_projecting(self, brake: Brake, tasks: &mut JoinSet<anyhow::Result<()>>) {
        let Self { config, nats, log, health, shutdown } = self;
        let projections = Projections { nats, log, replicas: config.nats_replicas };
        tasks.spawn(server::serve(projections.clone(), brake, shutdown.clone()));
        tasks.spawn(meter::measure_until(projections.clone(), shutdown.clone()));
        let runner = Runner { projections, grace: config.grace, health: health.clone() };
        tasks.spawn(runner.clone().run::<Users>(shutdown.clone()));
        tasks.spawn(runner.clone().run::<Groups>(shutdown.clone()));
        tasks.spawn(runner.run::<Activity>(shutdown.clone()));
    }
}

/// Retries until NATS and a JetStream leader are available: the projector may start before them.
async fn provision_until_done(nats: &Nats, replicas: u8, health: &Health, shutdown: &CancellationToken) {
    let mut attempts = tokio::time::interval(Duration::from_secs(1));
    while shutdown.run_until_cancelled(attempts.tick()).await.is_some() {
        match provision::provision(nats, replicas).await {
            Ok(drift) => {
                provision::log_drift(drift);
                health.ok("streams");
                return;
            }
            Err(error) => {
                tracing::warn!("cannot create the streams; trying again in a second: {error:#}");
                health.failed("streams", format!("{error:#}"));
            }
        }
    }
}
