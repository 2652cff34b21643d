//! Compares all users and groups with what is recorded: the only channel that misses nothing.
//!
//! authentik is silent about directory syncs, about users who delete themselves through the API, and about what it
//! gave up to deliver. The first start on an authentik that has users already is the same walk.

mod event_log;
mod pass;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::timestamp::Timestamp;
use runtime::health::Health;
use runtime::nats::Nats;
use runtime::{CancellationToken, clock};
use store::views;
use tokio::time::Instant;

pub use domain::status::LastSweep;

use crate::directory::Directory;
use crate::guard::Guard;
use crate::lease;
use crate::record::Recorder;

/// How often users whom authentik saved since are looked at, between full passes.
const INCREMENTAL: Duration = Duration::from_mins(1);

/// How long authentik's clock and its transactions may make a change appear older than it is.
const OVERLAP: Duration = Duration::from_mins(2);

/// Key of [`LastSweep`] in the meta bucket.
pub const LAST_SWEEP_KEY: &str = "sweep";

/// Sweeps, one process at a time among all projectors.
pub(crate) struct Sweeper<D> {
    pub(crate) recorder: Arc<Recorder<D>>,
    pub(crate) nats: Nats,
    pub(crate) guard: Guard,
    pub(crate) health: Health,
    /// Time between full passes.
    pub(crate) interval: Duration,
}

impl<D: Directory> Sweeper<D> {
    /// Sweeps until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while let Some(mut lease) = lease::acquire(&self.nats, "sweep", &shutdown).await {
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
        let mut last_full: Option<Instant> = None;
        let mut changed_since = clock::now();
        loop {
            let began = clock::now();
            let is_full = last_full.is_none_or(|last| last.elapsed() >= self.interval);
            let swept = if is_full { self.full(began).await } else { self.incremental(changed_since).await };
            match swept {
                Ok(()) => {
                    self.health.ok("sweep");
                    changed_since = (began.to_offset_date_time() - OVERLAP).into();
                    if is_full {
                        last_full = Some(Instant::now());
                    }
                    tokio::time::sleep(INCREMENTAL.min(self.interval)).await;
                }
                Err(error) => {
                    tracing::warn!("the sweep was not completed, and will begin again: {error:#}");
                    self.health.failed("sweep", format!("{error:#}"));
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            }
        }
    }

    /// A full pass; after one that imported, another one at once, for what changed behind its back.
    async fn full(&self, began: Timestamp) -> anyhow::Result<()> {
        self.walk_event_log().await.context("authentik's event log")?;
        loop {
            let report = self.pass().await?;
            let completed = clock::now();
            tracing::info!(
                "swept {} users and {} groups: {} imported, {} differed, {} missing",
                report.n_users,
                report.n_groups,
                report.n_imported,
                report.n_differing,
                report.n_missing
            );
            self.note(&LastSweep { began, completed, report }).await?;
            #[expect(clippy::cast_precision_loss, reason = "metrics are floats; seconds since 1970 fit")]
            metrics::gauge!("projector_last_sweep_timestamp_seconds").set(completed.unix_seconds() as f64);
            if report.n_imported == 0 {
                return Ok(());
            }
        }
    }

    async fn incremental(&self, changed_since: Timestamp) -> anyhow::Result<()> {
        self.walk_event_log().await.context("authentik's event log")?;
        self.look_at_changed(changed_since).await
    }

    async fn note(&self, sweep: &LastSweep) -> anyhow::Result<()> {
        let meta = self.nats.namespace.meta_bucket();
        let revision = views::read::<LastSweep>(&self.nats, &meta, LAST_SWEEP_KEY).await?;
        let revision = revision.map_or(0, |entry| entry.revision);
        views::write(&self.nats, &meta, LAST_SWEEP_KEY, sweep, revision).await.context("noting the sweep")?;
        Ok(())
    }
}
