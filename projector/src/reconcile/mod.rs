//! Reconciliation: a sweep compares all users and groups with the recorded state, and records the differences.
//!
//! It is the only complete channel. authentik sends no webhooks about directory syncs or about users who delete
//! themselves through the API, and it gives up on failing webhooks. A sweep also does the first import.

mod catch_up;
mod event_log;
mod missing;
mod pass;
mod report;
mod sweeper;

use std::sync::Arc;

use anyhow::Context;
use domain::status::SweepReport;
use domain::timestamp::Timestamp;
use runtime::clock;
use runtime::nats::Nats;
use store::publish::PublishError;
use store::views;

use crate::directory::Directory;
use crate::record::Recorder;
use crate::record::guard::Guard;

pub(crate) use catch_up::CaughtUp;
pub use domain::status::LastSweep;
pub(crate) use report::{Differences, Pass};
pub(crate) use sweeper::Sweeper;

/// The key of [`LastSweep`] in the meta bucket.
pub const LAST_SWEEP_KEY: &str = "sweep";

/// Whether a sweep records the differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Record,
    /// Writes nothing to NATS.
    DryRun,
}

/// The stages of a catch-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    EventLog,
    Users,
    Groups,
    Missing,
}

/// Receives the stage, how many of its items are done, and how many there are.
pub(crate) type Progress<'a> = &'a mut (dyn FnMut(Stage, u64, u64) + Send);

/// Compares authentik with the recorded state. Sweeps may run concurrently: the rule resolves conflicts.
pub(crate) struct Sweep<D> {
    pub(crate) recorder: Arc<Recorder<D>>,
    pub(crate) nats: Nats,
    pub(crate) guard: Guard,
}

impl<D: Directory> Sweep<D> {
    /// Runs full passes until one imports nothing: a user can change while a pass imports it from a page.
    async fn compare_all(&self, mode: Mode, progress: Progress<'_>) -> anyhow::Result<Pass> {
        let mut total: Option<Pass> = None;
        loop {
            let began = clock::now();
            let pass = self.pass(mode, progress).await?;
            let is_last = mode == Mode::DryRun || pass.report.n_imported == 0;
            if mode == Mode::Record {
                self.store_report(began, pass.report).await?;
            }
            let pass = match total {
                Some(before) => before.followed_by(pass),
                None => pass,
            };
            if is_last {
                return Ok(pass);
            }
            total = Some(pass);
        }
    }

    async fn store_report(&self, began: Timestamp, report: SweepReport) -> anyhow::Result<()> {
        let completed = clock::now();
        tracing::info!(
            "swept {} users and {} groups: {} imported, {} differed, {} missing, {} held back, {} failed",
            report.n_users,
            report.n_groups,
            report.n_imported,
            report.n_differing,
            report.n_missing,
            report.n_held_back,
            report.n_failed
        );
        let meta = self.nats.namespace.meta_bucket();
        let revision = views::read::<LastSweep>(&self.nats, &meta, LAST_SWEEP_KEY).await?;
        let revision = revision.map_or(0, |entry| entry.revision);
        let sweep = LastSweep { began, completed, report };
        match views::write(&self.nats, &meta, LAST_SWEEP_KEY, &sweep, revision).await {
            // Another process stored its own report at the same time.
            Ok(_) | Err(PublishError::Conflict) => Ok(()),
            Err(error) => Err(error).context("storing the report of the sweep"),
        }
    }
}
