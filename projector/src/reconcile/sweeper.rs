//! Schedules sweeps: full ones at the start and at an interval, and of recently changed users every minute.

use std::time::Duration;

use anyhow::Context;
use domain::timestamp::Timestamp;
use runtime::health::Health;
use runtime::{CancellationToken, clock};
use tokio::time::Instant;

use super::{Mode, Pass, Stage, Sweep};
use crate::directory::Directory;
use crate::lease;

/// How often recently changed users are compared between full passes.
const INCREMENTAL: Duration = Duration::from_mins(1);

/// How far passes over changed users overlap: clock skew and long transactions make a change appear older than it is.
const OVERLAP: Duration = Duration::from_mins(2);

/// The wait after a failed sweep. It doubles with each failure, up to [`INCREMENTAL`].
const FIRST_BACKOFF: Duration = Duration::from_secs(5);

/// How often a long pass logs its progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// Runs sweeps in one projector at a time. Concurrent sweeps would be harmless but redundant.
pub(crate) struct Sweeper<D> {
    pub(crate) sweep: Sweep<D>,
    pub(crate) health: Health,
    /// The time between full passes.
    pub(crate) interval: Duration,
}

/// The state that one round passes to the next.
struct Schedule {
    next_full_pass: Instant,
    changed_since: Timestamp,
    backoff: Duration,
    /// How many users and groups the last full pass left out.
    n_failed: u64,
    /// The newest confirmation at the start of the last full pass.
    last_confirmation: Option<Timestamp>,
    /// Whether the last full pass held deletions back.
    holds_back: bool,
}

impl<D: Directory> Sweeper<D> {
    /// Sweeps until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while let Some(mut lease) = lease::acquire(&self.sweep.nats, "sweep", &shutdown).await {
            tokio::select! {
                () = self.sweep_repeatedly() => {}
                () = lease.keep() => tracing::info!("another process took over the sweeps"),
                () = shutdown.cancelled() => {}
            }
            lease.give_back().await;
        }
        Ok(())
    }

    async fn sweep_repeatedly(&self) {
        let mut schedule = Schedule {
            next_full_pass: Instant::now(),
            changed_since: clock::now(),
            backoff: FIRST_BACKOFF,
            n_failed: 0,
            last_confirmation: None,
            holds_back: false,
        };
        loop {
            match self.round(&mut schedule).await {
                Ok(0) => self.health.ok("sweep"),
                Ok(n_failed) => {
                    let reason =
                        format!("{n_failed} users and groups cannot be recorded; the log names each");
                    self.health.failed("sweep", reason);
                }
                Err(error) => {
                    tracing::warn!("the sweep failed; trying again: {error:#}");
                    self.health.failed("sweep", format!("{error:#}"));
                    tokio::time::sleep(schedule.backoff).await;
                    let longest = INCREMENTAL.min(self.interval.max(FIRST_BACKOFF));
                    schedule.backoff = (schedule.backoff * 2).min(longest);
                    continue;
                }
            }
            schedule.backoff = FIRST_BACKOFF;
            tokio::select! {
                () = tokio::time::sleep(INCREMENTAL.min(self.interval)) => {}
                () = self.confirmed(&schedule) => schedule.next_full_pass = Instant::now(),
            }
        }
    }

    /// Runs a full pass if it is due, else a pass over changed users. Returns how many users and groups are left out.
    async fn round(&self, schedule: &mut Schedule) -> anyhow::Result<u64> {
        let began = clock::now();
        self.sweep.guard.check_pin(self.sweep.recorder.directory()).await?;
        let mut logged = Instant::now();
        let mut progress = move |stage, done, of| {
            if stage == Stage::Users && logged.elapsed() >= PROGRESS {
                logged = Instant::now();
                tracing::info!("sweeping: compared {done} of {of} users");
            }
        };
        let backfilled = self.sweep.backfill(Mode::Record, None, &mut progress).await;
        backfilled.context("reading authentik's event log")?;
        let n_failed = if schedule.next_full_pass <= Instant::now() {
            schedule.last_confirmation = self.sweep.guard.brake().refresh().await?;
            let pass = self.sweep.compare_all(Mode::Record, &mut progress).await?;
            schedule.next_full_pass = Instant::now() + self.interval;
            schedule.n_failed = pass.report.n_failed;
            schedule.holds_back = holds_back(&pass);
            pass.report.n_failed
        } else {
            let pass = self.sweep.compare_changed(schedule.changed_since).await?;
            holds_back(&pass);
            schedule.n_failed.max(pass.report.n_failed)
        };
        schedule.changed_since = (began.to_offset_date_time() - OVERLAP).into();
        Ok(n_failed)
    }

    /// Waits until an operator confirms the deletions that are held back; forever if there are none.
    async fn confirmed(&self, schedule: &Schedule) {
        if schedule.holds_back {
            self.sweep.guard.brake().confirmed_after(schedule.last_confirmation).await;
        } else {
            std::future::pending::<()>().await;
        }
    }
}

/// Logs why deletions are held back, if they are.
fn holds_back(pass: &Pass) -> bool {
    if let Some(reason) = &pass.held_back_because {
        tracing::error!("{} deletions are held back: {reason}", pass.report.n_held_back);
    }
    pass.held_back_because.is_some()
}
