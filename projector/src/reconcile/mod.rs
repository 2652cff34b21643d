//! Compares all users and groups with what is recorded: the only channel that misses nothing.
//!
//! authentik is silent about directory syncs, about users who delete themselves through the API, and about what it
//! gave up to deliver. The first start on an authentik that has users already is the same walk.

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
use store::views;

use crate::directory::Directory;
use crate::record::Recorder;
use crate::record::guard::Guard;

pub(crate) use catch_up::CaughtUp;
pub use domain::status::LastSweep;
pub(crate) use report::{Differences, Pass};
pub(crate) use sweeper::Sweeper;

/// Key of [`LastSweep`] in the meta bucket.
pub const LAST_SWEEP_KEY: &str = "sweep";

/// Whether what differs is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Record,
    /// Nothing is written, neither events nor anything else.
    DryRun,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    EventLog,
    Users,
    Groups,
    Missing,
}

/// Is told the stage, how much of it is done, and of how much.
pub(crate) type Progress<'a> = &'a mut (dyn FnMut(Stage, u64, u64) + Send);

/// Compares. Any number may do so at once, and beside projectors that run: what is recorded is recorded by the rule.
pub(crate) struct Sweep<D> {
    pub(crate) recorder: Arc<Recorder<D>>,
    pub(crate) nats: Nats,
    pub(crate) guard: Guard,
}

impl<D: Directory> Sweep<D> {
    /// A full pass; after one that imported, another one at once, for what changed behind its back.
    async fn compare_all(&self, mode: Mode, progress: Progress<'_>) -> anyhow::Result<Pass> {
        let mut all: Option<Pass> = None;
        loop {
            let began = clock::now();
            let pass = self.pass(mode, progress).await?;
            let is_last = mode == Mode::DryRun || pass.report.n_imported == 0;
            if mode == Mode::Record {
                self.note(began, pass.report).await?;
            }
            let pass = match all {
                Some(before) => before.followed_by(pass),
                None => pass,
            };
            if is_last {
                return Ok(pass);
            }
            all = Some(pass);
        }
    }

    async fn note(&self, began: Timestamp, report: SweepReport) -> anyhow::Result<()> {
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
            // Another process noted its own at the same time.
            Ok(_) | Err(store::publish::PublishError::Conflict) => {}
            Err(error) => return Err(error).context("noting the sweep"),
        }
        Ok(())
    }
}
