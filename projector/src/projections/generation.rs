//! One generation of a projection: folds events in memory and writes views and checkpoint as one commit.

use std::time::Duration;

use anyhow::Context;
use domain::view::{Checkpoint, Projection, Views};
use futures_util::FutureExt;
use runtime::provision;
use store::follow::Follow;
use store::log::StoredMessage;
use store::views;

use super::Projections;

/// Most views in one commit. The server's limit per batch is 1000 messages, and the checkpoint is one.
const MAX_COMMIT: usize = 900;

/// How many changed views a rebuild collects before it commits. A frequently changing view is written once,
/// and the work that a killed rebuild loses is repeated within seconds.
const REBUILD_COMMIT: usize = 50 * MAX_COMMIT;

/// How long to wait for the next event before asking for the newest sequence again.
pub(super) const QUIET: Duration = Duration::from_secs(1);

/// A generation that is being folded, by the holder of its lease only.
pub(super) struct Generation<P: Projection> {
    projections: Projections,
    bucket: String,
    views: Views<P>,
    /// Sequence of the last commit.
    committed: u64,
    /// Revision of the checkpoint, which the next commit expects.
    revision: u64,
}

impl<P: Projection> Generation<P> {
    /// Loads the generation; creates its bucket if it is missing.
    pub(super) async fn open(projections: &Projections, number: u64) -> anyhow::Result<Self> {
        let Projections { nats, replicas, .. } = projections;
        let bucket = nats.namespace.projection_bucket(P::NAME, number);
        provision::log_drift(provision::ensure_projection_bucket(nats, &bucket, *replicas).await?);
        let loaded = views::load::<P>(nats, &bucket).await?;
        let (sequence, revision) =
            loaded.checkpoint.map_or((0, 0), |entry| (entry.value.sequence, entry.revision));
        let views = Views::loaded(loaded.views, sequence);
        count_unreadable::<P>(0);
        Ok(Self { projections: projections.clone(), bucket, views, committed: sequence, revision })
    }

    pub(super) fn views(&self) -> &Views<P> {
        &self.views
    }

    /// Folds events as they arrive; returns only on an error.
    pub(super) async fn follow(&mut self) -> anyhow::Result<()> {
        let mut events = self.projections.log.follow(self.views.sequence() + 1);
        loop {
            if let Some(message) = self.next(&mut events).await? {
                apply(&mut self.views, &message);
            }
        }
    }

    /// Folds up to the newest event, including those appended meanwhile, and commits.
    ///
    /// `progress` receives the folded sequence and the newest one.
    pub(super) async fn catch_up(&mut self, mut progress: impl FnMut(u64, u64)) -> anyhow::Result<()> {
        let log = self.projections.log.clone();
        let mut events = log.follow(self.views.sequence() + 1);
        let mut head = log.head().await?;
        loop {
            progress(self.views.sequence(), head);
            if self.views.sequence() >= head {
                head = log.head().await?;
            }
            let (is_at_head, n_changed) = (self.views.sequence() >= head, self.views.n_changed());
            if is_at_head || n_changed >= REBUILD_COMMIT {
                self.commit().await?;
            }
            if is_at_head {
                if n_changed <= MAX_COMMIT {
                    return Ok(());
                }
                // Many events may have been appended during this long commit.
                continue;
            }
            match tokio::time::timeout(QUIET, events.next()).await {
                Ok(message) => apply(&mut self.views, &message?),
                // The newest event may have been erased meanwhile.
                Err(_) => head = log.head().await?,
            }
        }
    }

    /// The next event, or nothing after [`QUIET`] without one.
    ///
    /// Returns events that are already buffered first; commits before it waits for more.
    async fn next(&mut self, events: &mut Follow) -> anyhow::Result<Option<StoredMessage>> {
        if self.views.n_changed() < MAX_COMMIT
            && let Some(next) = events.next().now_or_never()
        {
            return next.map(Some);
        }
        if self.views.sequence() > self.committed {
            self.commit().await?;
        }
        tokio::time::timeout(QUIET, events.next()).await.ok().transpose()
    }

    /// Writes the changed views together with the checkpoint.
    async fn commit(&mut self) -> anyhow::Result<()> {
        let changed: Vec<String> = self.views.take_changed().into_iter().collect();
        let checkpoint = Checkpoint {
            epoch: self.projections.log.epoch().to_owned(),
            version: P::VERSION,
            sequence: self.views.sequence(),
        };
        let nats = &self.projections.nats;
        // One event can change more views than one commit holds, for example of a user in a thousand groups.
        // Views may be ahead of the checkpoint, so only the last commit writes it.
        let (first, last) = changed.split_at(changed.len().saturating_sub(MAX_COMMIT));
        for keys in first.chunks(MAX_COMMIT) {
            views::write_views_alone(nats, &self.bucket, &self.entries(keys)).await?;
        }
        let entries = self.entries(last);
        let written = views::write_views(nats, &self.bucket, &entries, &checkpoint, self.revision).await;
        self.revision = written.context("writing views")?.sequence;
        self.committed = checkpoint.sequence;
        Ok(())
    }

    fn entries(&self, keys: &[String]) -> Vec<(String, Option<&P::View>)> {
        keys.iter().map(|key| (key.clone(), self.views.get(key))).collect()
    }
}

/// Folds one message of the log. An unreadable message is logged, counted, and skipped.
pub(super) fn apply<P: Projection>(views: &mut Views<P>, message: &StoredMessage) {
    match message.decode() {
        Ok(event) => views.apply(&event),
        // An unreadable message must not stop the events after it.
        Err(error) => {
            tracing::error!(event.sequence = message.sequence, "skipped an unreadable event: {error}");
            count_unreadable::<P>(1);
            views.advance(message.sequence);
        }
    }
}

/// Counts skipped events. Adding 0 creates the counter, so that alerts can tell "none" from "no data".
fn count_unreadable<P: Projection>(n_events: u64) {
    metrics::counter!("projector_unreadable_events_total", "projection" => P::NAME).increment(n_events);
}
