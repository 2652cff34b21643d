//! When is swept: in full at the start and at an interval, and who was saved since every minute.

use std::time::Duration;

use anyhow::Context;
use domain::timestamp::Timestamp;
use runtime::health::Health;
use runtime::{CancellationToken, clock};
use tokio::time::Instant;

use super::{Mode, Pass, Stage, Sweep};
use crate::directory::Directory;
use crate::lease;

/// How often users whom authentik saved since are looked at, between full passes.
const INCREMENTAL: Duration = Duration::from_mins(1);

/// How long authentik's clock and its transactions may make a change appear older than it is.
const OVERLAP: Duration = Duration::from_mins(2);

/// The wait after a sweep that was not completed: so long, doubling to a minute.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// How often a long walk says where it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// Sweeps, one process at a time among all projectors: two would do the same work, and no harm.
pub(crate) struct Sweeper<D> {
    pub(crate) sweep: Sweep<D>,
    pub(crate) health: Health,
    /// Time between full passes.
    pub(crate) interval: Duration,
}

/// What the rounds of a sweeper know of each other.
struct Rounds {
    full_at: Instant,
    changed_since: Timestamp,
    pause: Duration,
    /// Users and groups that the last full pass left out.
    n_failed: u64,
    /// The newest confirmation when the last full pass began, where it held deletions back.
    unconfirmed: Option<u64>,
}

impl<D: Directory> Sweeper<D> {
    /// Sweeps until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while let Some(mut lease) = lease::acquire(&self.sweep.nats, "sweep", &shutdown).await {
            tokio::select! {
                () = self.sweep_for_ever() => {}
                () = lease.keep() => tracing::info!("another process sweeps from now on"),
                () = shutdown.cancelled() => {}
            }
            lease.give_back().await;
        }
        Ok(())
    }

    async fn sweep_for_ever(&self) {
        let mut rounds = Rounds {
            full_at: Instant::now(),
            changed_since: clock::now(),
            pause: FIRST_PAUSE,
            n_failed: 0,
            unconfirmed: None,
        };
        loop {
            match self.round(&mut rounds).await {
                Ok(0) => self.health.ok("sweep"),
                Ok(n_failed) => {
                    let reason =
                        format!("{n_failed} users and groups cannot be recorded: the log names them");
                    self.health.failed("sweep", reason);
                }
                Err(error) => {
                    tracing::warn!("the sweep was not completed, and will begin again: {error:#}");
                    self.health.failed("sweep", format!("{error:#}"));
                    tokio::time::sleep(rounds.pause).await;
                    rounds.pause = (rounds.pause * 2).min(INCREMENTAL).min(self.interval.max(FIRST_PAUSE));
                    continue;
                }
            }
            rounds.pause = FIRST_PAUSE;
            tokio::select! {
                () = tokio::time::sleep(INCREMENTAL.min(self.interval)) => {}
                () = self.confirmed_after(rounds.unconfirmed) => rounds.full_at = Instant::now(),
            }
        }
    }

    /// One round, in full where that is due. Returns how many users and groups are left out.
    async fn round(&self, rounds: &mut Rounds) -> anyhow::Result<u64> {
        let began = clock::now();
        self.sweep.guard.recognise(self.sweep.recorder.directory()).await?;
        let mut said = Instant::now();
        let mut progress = move |stage, done, of| {
            if stage == Stage::Users && said.elapsed() >= PROGRESS {
                said = Instant::now();
                tracing::info!("sweeping: {done} of {of} users");
            }
        };
        let walked = self.sweep.walk_event_log(Mode::Record, None, &mut progress).await;
        walked.context("authentik's event log")?;
        let n_failed = if rounds.full_at <= Instant::now() {
            let confirmation = self.sweep.guard.confirmation().await?;
            let pass = self.sweep.compare_all(Mode::Record, &mut progress).await?;
            rounds.full_at = Instant::now() + self.interval;
            rounds.n_failed = pass.report.n_failed;
            rounds.unconfirmed = held_back(&pass).then_some(confirmation);
            pass.report.n_failed
        } else {
            let pass = self.sweep.look_at_changed(rounds.changed_since).await?;
            held_back(&pass);
            rounds.n_failed.max(pass.report.n_failed)
        };
        rounds.changed_since = (began.to_offset_date_time() - OVERLAP).into();
        Ok(n_failed)
    }

    /// Never ends where nothing is held back.
    async fn confirmed_after(&self, unconfirmed: Option<u64>) {
        match unconfirmed {
            Some(confirmation) => self.sweep.guard.confirmed_after(confirmation).await,
            None => std::future::pending().await,
        }
    }
}

fn held_back(pass: &Pass) -> bool {
    if let Some(reason) = &pass.stopped {
        tracing::error!("{} deletions are held back: {reason}", pass.report.n_held_back);
    }
    pass.stopped.is_some()
}
