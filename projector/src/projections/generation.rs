//! One generation of a projection: folds events in memory, writes views and checkpoint as one commit.

use std::time::Duration;

use anyhow::Context;
use domain::view::{Checkpoint, Projection, Views};
use futures_util::FutureExt;
use runtime::provision;
use store::follow::Follow;
use store::log::StoredMessage;
use store::views;

use super::Projections;

/// Views that one commit takes; the server takes 1000 messages, the checkpoint is one.
const COMMIT: usize = 900;

/// Views that change before a generation that nobody reads yet is written: a view that changes again and again is written
/// once, and what a kill loses is read again within seconds.
const BULK: usize = 50 * COMMIT;

/// After this time without an event, who waits for the newest one asks again which that is.
pub(super) const QUIET: Duration = Duration::from_secs(1);

/// A generation that is being folded. Only who holds its lease folds it.
pub(super) struct Generation<P: Projection> {
    projections: Projections,
    bucket: String,
    views: Views<P>,
    /// Sequence of the last commit.
    committed: u64,
    /// Revision of the checkpoint: what the next commit expects.
    revision: u64,
}

impl<P: Projection> Generation<P> {
    /// Loads the generation; makes its bucket where it is missing.
    pub(super) async fn open(projections: &Projections, number: u64) -> anyhow::Result<Self> {
        let Projections { nats, replicas, .. } = projections;
        let bucket = nats.namespace.projection_bucket(P::NAME, number);
        provision::log_drift(provision::ensure_projection_bucket(nats, &bucket, *replicas).await?);
        let loaded = views::load::<P>(nats, &bucket).await?;
        let (sequence, revision) =
            loaded.checkpoint.map_or((0, 0), |entry| (entry.value.sequence, entry.revision));
        let views = Views::loaded(loaded.views, sequence);
        n_unreadable::<P>(0);
        Ok(Self { projections: projections.clone(), bucket, views, committed: sequence, revision })
    }

    pub(super) fn views(&self) -> &Views<P> {
        &self.views
    }

    /// Folds for ever; ends with an error alone.
    pub(super) async fn follow(&mut self) -> anyhow::Result<()> {
        let mut events = self.projections.log.follow(self.views.sequence() + 1);
        loop {
            if let Some(message) = self.next(&mut events).await? {
                take(&mut self.views, &message);
            }
        }
    }

    /// Folds until nothing newer is kept, and commits. What is appended meanwhile is in it.
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
            if is_at_head || n_changed >= BULK {
                self.commit().await?;
            }
            if is_at_head {
                if n_changed <= COMMIT {
                    return Ok(());
                }
                // Much may have been appended while much was written.
                continue;
            }
            match tokio::time::timeout(QUIET, events.next()).await {
                Ok(message) => take(&mut self.views, &message?),
                // The event that was the newest one may be erased by now.
                Err(_) => head = log.head().await?,
            }
        }
    }

    /// The next event; nothing where none comes for a while.
    ///
    /// What is there already is folded together; before waiting for more, it is written.
    async fn next(&mut self, events: &mut Follow) -> anyhow::Result<Option<StoredMessage>> {
        if self.views.n_changed() < COMMIT
            && let Some(next) = events.next().now_or_never()
        {
            return next.map(Some);
        }
        if self.views.sequence() > self.committed {
            self.commit().await?;
        }
        tokio::time::timeout(QUIET, events.next()).await.ok().transpose()
    }

    /// Writes what changed together with the checkpoint.
    async fn commit(&mut self) -> anyhow::Result<()> {
        let changed: Vec<String> = self.views.take_changed().into_iter().collect();
        let checkpoint = Checkpoint {
            epoch: self.projections.log.epoch().to_owned(),
            version: P::VERSION,
            sequence: self.views.sequence(),
        };
        let nats = &self.projections.nats;
        // One event can change more views than fit, where a user is in a thousand groups. Views may be ahead of the
        // checkpoint, so all but the last commit can do without one.
        let (first, last) = changed.split_at(changed.len().saturating_sub(COMMIT));
        for keys in first.chunks(COMMIT) {
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

/// Folds one message of the log.
pub(super) fn take<P: Projection>(views: &mut Views<P>, message: &StoredMessage) {
    match message.decode() {
        Ok(event) => views.apply(&event),
        // A message that is no event of ours concerns no view: it must not stop the others.
        Err(error) => {
            tracing::error!(
                event.sequence = message.sequence,
                "left out an event that cannot be read: {error}"
            );
            n_unreadable::<P>(1);
            views.advance(message.sequence);
        }
    }
}

/// Counts events that are left out. An alert can tell none from nothing once the counter is there.
fn n_unreadable<P: Projection>(more: u64) {
    metrics::counter!("projector_unreadable_events_total", "projection" => P::NAME).increment(more);
}
