//! What an operator asks for: comparing all of authentik now, or seeing what that would record.

use anyhow::Context;
use domain::status::SweepReport;
use domain::timestamp::Timestamp;
use serde::Serialize;

use super::report::Differences;
use super::{Mode, Progress, Sweep};
use crate::directory::Directory;

/// What a catch-up came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CaughtUp {
    /// Nothing was recorded.
    pub(crate) dry_run: bool,
    /// Events of authentik's log that the inbox lacked; nothing where the log was not walked, for no walk through it was
    /// completed before.
    pub(crate) n_from_event_log: Option<u64>,
    #[serde(flatten)]
    pub(crate) report: SweepReport,
    /// Why deletions are held back, where they are.
    pub(crate) held_back_because: Option<String>,
    /// What would be recorded, in a dry run.
    #[serde(flatten)]
    pub(crate) would_record: Option<Differences>,
}

impl<D: Directory> Sweep<D> {
    /// Walks through authentik's event log, from `since` or from the last walk on, and compares all users and groups.
    pub(crate) async fn catch_up(
        &self,
        mode: Mode,
        since: Option<Timestamp>,
        progress: Progress<'_>,
    ) -> anyhow::Result<CaughtUp> {
        self.guard.recognise(self.recorder.directory()).await?;
        let n_from_event_log =
            self.walk_event_log(mode, since, progress).await.context("authentik's event log")?;
        let pass = self.compare_all(mode, progress).await?;
        Ok(CaughtUp {
            dry_run: mode == Mode::DryRun,
            n_from_event_log,
            report: pass.report,
            held_back_because: pass.stopped,
            would_record: (mode == Mode::DryRun).then_some(pass.would_record),
        })
    }
}
