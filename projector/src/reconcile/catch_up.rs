//! `projector catch-up`: a full sweep now, or a dry run that shows what a sweep would record.

use anyhow::Context;
use domain::status::SweepReport;
use domain::timestamp::Timestamp;
use serde::Serialize;

use super::report::Differences;
use super::{Mode, Progress, Sweep};
use crate::directory::Directory;

/// The result of a catch-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CaughtUp {
    /// Whether this was a dry run, which records nothing.
    pub(crate) dry_run: bool,
    /// How many events of authentik's log were missing in the inbox. `None` if the log was not read, because no earlier
    /// backfill was completed and no start was given.
    pub(crate) n_from_event_log: Option<u64>,
    #[serde(flatten)]
    pub(crate) report: SweepReport,
    /// Why deletions are held back; `None` if they are not.
    pub(crate) held_back_because: Option<String>,
    /// What a dry run would record; `None` otherwise.
    #[serde(flatten)]
    pub(crate) would_record: Option<Differences>,
}

impl<D: Directory> Sweep<D> {
    /// Backfills from authentik's event log, from `since` or from the last backfill on, then compares all users and groups.
    pub(crate) async fn catch_up(
        &self,
        mode: Mode,
        since: Option<Timestamp>,
        progress: Progress<'_>,
    ) -> anyhow::Result<CaughtUp> {
        self.guard.check_pin(self.recorder.directory()).await?;
        let n_from_event_log =
            self.backfill(mode, since, progress).await.context("reading authentik's event log")?;
        let pass = self.compare_all(mode, progress).await?;
        Ok(CaughtUp {
            dry_run: mode == Mode::DryRun,
            n_from_event_log,
            report: pass.report,
            held_back_because: pass.held_back_because,
            would_record: (mode == Mode::DryRun).then_some(pass.would_record),
        })
    }
}
