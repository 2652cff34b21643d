//! Folds a projection, live: reads the log in order, folds in memory, writes views and checkpoint as one commit.

use std::time::Duration;

use anyhow::Context;
use domain::event::Recorded;
use domain::view::{Checkpoint, Projection, Views};
use futures_util::FutureExt;
use runtime::nats::Nats;
use runtime::{CancellationToken, provision};
use store::log::EventLog;
use store::views::{self, Entry, Pointer, pointer_key};

use crate::lease;

/// Views that one commit takes; the server takes 1000 messages, the checkpoint is one.
const COMMIT: usize = 900;

/// Runs projections, one holder each among all projectors.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) nats: Nats,
    pub(crate) log: EventLog,
    pub(crate) replicas: u8,
}

/// A generation that is being folded.
struct Generation<P: Projection> {
    bucket: String,
    views: Views<P>,
    /// Revision of the checkpoint: what the next commit expects.
    revision: u64,
}

impl Runner {
    /// Runs until shutdown. Trouble is logged and tried again from what is stored.
    pub(crate) async fn run<P: Projection + Send + Sync + 'static>(
        self,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        while let Some(mut lease) = lease::acquire(&self.nats, P::NAME, &shutdown).await {
            tracing::info!("folding {}", P::NAME);
            let ended = tokio::select! {
                ended = self.fold::<P>() => ended,
                () = lease.keep() => Err(anyhow::anyhow!("another process took over")),
                () = shutdown.cancelled() => Ok(()),
            };
            if let Err(error) = ended {
                tracing::warn!(
                    "stopped folding {}, will begin again from what is stored: {error:#}",
                    P::NAME
                );
                shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(500))).await;
            }
            lease.give_back().await;
        }
        Ok(())
    }

    /// Folds for ever; ends with an error alone.
    async fn fold<P: Projection>(&self) -> anyhow::Result<()> {
        let pointer = self.pointer::<P>().await?;
        let current = pointer.as_ref().map_or(0, |pointer| pointer.value.generation);
        let is_usable = match &pointer {
            Some(pointer) => {
                pointer.value.version == P::VERSION && self.is_of_this_epoch::<P>(current).await?
            }
            None => false,
        };
        // A generation of another version or of another stream is folded anew beside the old one.
        let number = if is_usable { current } else { current + 1 };
        let mut generation = self.open::<P>(number).await?;
        if !is_usable {
            let head = self.log.head().await?;
            self.fold_until(&mut generation, Some(head)).await?;
            self.point_to::<P>(number, pointer.map_or(0, |pointer| pointer.revision)).await?;
        }
        self.fold_until(&mut generation, None).await
    }

    async fn pointer<P: Projection>(&self) -> anyhow::Result<Option<Entry<Pointer>>> {
        views::read(&self.nats, &self.nats.namespace.meta_bucket(), &pointer_key(P::NAME)).await
    }

    async fn is_of_this_epoch<P: Projection>(&self, generation: u64) -> anyhow::Result<bool> {
        let bucket = self.nats.namespace.projection_bucket(P::NAME, generation);
        let checkpoint = views::read::<Checkpoint>(&self.nats, &bucket, domain::view::CHECKPOINT_KEY).await?;
        Ok(checkpoint.is_none_or(|checkpoint| checkpoint.value.epoch == self.log.epoch()))
    }

    async fn open<P: Projection>(&self, generation: u64) -> anyhow::Result<Generation<P>> {
        let bucket = self.nats.namespace.projection_bucket(P::NAME, generation);
        provision::ensure_projection_bucket(&self.nats, &bucket, self.replicas).await?;
        let loaded = views::load::<P>(&self.nats, &bucket).await?;
        let (sequence, revision) =
            loaded.checkpoint.map_or((0, 0), |entry| (entry.value.sequence, entry.revision));
        Ok(Generation { bucket, views: Views::loaded(loaded.views, sequence), revision })
    }

    async fn point_to<P: Projection>(&self, generation: u64, revision: u64) -> anyhow::Result<()> {
        let pointer = Pointer { generation, version: P::VERSION };
        let meta = self.nats.namespace.meta_bucket();
        let written = views::write(&self.nats, &meta, &pointer_key(P::NAME), &pointer, revision).await;
        written.with_context(|| format!("pointing readers of {} to generation {generation}", P::NAME))?;
        tracing::info!("readers of {} follow generation {generation}", P::NAME);
        Ok(())
    }

    /// Folds up to the given sequence, or for ever.
    async fn fold_until<P: Projection>(
        &self,
        generation: &mut Generation<P>,
        until: Option<u64>,
    ) -> anyhow::Result<()> {
        let mut events = self.log.follow(generation.views.sequence() + 1);
        let mut committed = generation.views.sequence();
        loop {
            if until.is_some_and(|until| generation.views.sequence() >= until) {
                return self.commit(generation).await;
            }
            // What is there already is folded together; before waiting for more, it is written.
            let next = match events.next().now_or_never() {
                Some(next) if generation.views.n_changed() < COMMIT => next?,
                waiting => {
                    if generation.views.sequence() > committed {
                        self.commit(generation).await?;
                        committed = generation.views.sequence();
                    }
                    match waiting {
                        Some(next) => next?,
                        None => events.next().await?,
                    }
                }
            };
            match next.decode() {
                Ok(event) => generation.apply(&event),
                // A message that is no event of ours concerns no view: it must not stop the others.
                Err(error) => {
                    tracing::error!(
                        event.sequence = next.sequence,
                        "left out an event that cannot be read: {error}"
                    );
                    metrics::counter!("projector_unreadable_events_total", "projection" => P::NAME)
                        .increment(1);
                    generation.views.advance(next.sequence);
                }
            }
        }
    }

    /// Writes what changed together with the checkpoint.
    async fn commit<P: Projection>(&self, generation: &mut Generation<P>) -> anyhow::Result<()> {
        let changed: Vec<String> = generation.views.take_changed().into_iter().collect();
        let checkpoint = Checkpoint {
            epoch: self.log.epoch().to_owned(),
            version: P::VERSION,
            sequence: generation.views.sequence(),
        };
        // One event can change more views than fit, where a user is in a thousand groups. Views may be ahead of the
        // checkpoint, so all but the last commit can do without one.
        let (first, last) = changed.split_at(changed.len().saturating_sub(COMMIT));
        for keys in first.chunks(COMMIT) {
            views::write_views_alone(&self.nats, &generation.bucket, &generation.entries(keys)).await?;
        }
        let entries = generation.entries(last);
        let written =
            views::write_views(&self.nats, &generation.bucket, &entries, &checkpoint, generation.revision)
                .await;
        generation.revision = written.context("writing views")?.sequence;
        #[expect(
            clippy::cast_precision_loss,
            reason = "metrics are floats; a sequence beyond 2^52 is far away"
        )]
        metrics::gauge!("projector_projection_sequence", "projection" => P::NAME)
            .set(checkpoint.sequence as f64);
        Ok(())
    }
}

impl<P: Projection> Generation<P> {
    fn apply(&mut self, event: &Recorded) {
        self.views.apply(event);
    }

    fn entries(&self, keys: &[String]) -> Vec<(String, Option<&P::View>)> {
        keys.iter().map(|key| (key.clone(), self.views.get(key))).collect()
    }
}
