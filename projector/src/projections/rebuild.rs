//! Blue-green rebuild: folds a new generation beside the one in use, then switches readers with one write.

use anyhow::{Context, bail};
use domain::view::{Checkpoint, Projection};
use runtime::CancellationToken;
use serde::Serialize;
use store::generations;
use store::views::{Entry, Pointer};

use super::generation::Generation;
use super::{ProjectionName, Projections};
use crate::fingerprint;
use crate::lease::{self, Held};

/// The result of a rebuild.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Name of the projection.
    pub projection: &'static str,
    /// The new generation, which readers use now.
    pub generation: u64,
    /// The generation that readers used before.
    pub replaced: Option<u64>,
    /// Sequence of the last folded event.
    pub sequence: u64,
    /// Number of views in the new generation.
    pub n_views: usize,
    /// SHA-256 over keys and values in key order.
    pub fingerprint: String,
}

/// What to do with the unfinished generation of an interrupted rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// Delete it.
    Discard,
    /// Continue to fold it, if it has this version and comes from this stream.
    Resume,
}

/// Another process rebuilds the projection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{projection} is already being rebuilt by {holder}: wait for it, or stop it")]
pub(crate) struct RebuildRunning {
    projection: &'static str,
    holder: String,
}

/// Name of the lease that a rebuild of the projection holds.
pub(super) fn lease_name(projection: &str) -> String {
    format!("rebuild.{projection}")
}

impl Projections {
    /// Acquires the lease to rebuild a projection. Returns nothing if `shutdown` comes first.
    pub(crate) async fn claim_rebuild(
        &self,
        name: ProjectionName,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Result<Held, RebuildRunning>>> {
        let projection = name.as_str();
        let name = lease_name(projection);
        let acquired = shutdown.run_until_cancelled(lease::try_acquire(&self.nats, &name)).await;
        let acquired = acquired.transpose()?;
        Ok(acquired.map(|acquired| acquired.map_err(|holder| RebuildRunning { projection, holder })))
    }

    pub(super) async fn rebuild_one<P: Projection>(
        &self,
        mut lease: Held,
        progress: impl FnMut(u64, u64) + Send,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Rebuilt>> {
        let rebuilt = self.build_and_switch::<P>(&mut lease, Unfinished::Discard, progress, shutdown).await;
        lease.give_back().await;
        rebuilt
    }

    /// Builds the next generation and switches readers to it, under the rebuild's lease.
    pub(super) async fn build_and_switch<P: Projection>(
        &self,
        lease: &mut Held,
        on_unfinished: Unfinished,
        progress: impl FnMut(u64, u64) + Send,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Rebuilt>> {
        let pointer = self.delete_unfinished::<P>(on_unfinished).await?;
        let replaced = pointer.as_ref().map(|pointer| pointer.value.generation);
        let number = replaced.unwrap_or(0) + 1;
        let built = tokio::select! {
            built = self.build::<P>(number, progress) => built.map(Some),
            // The new holder of the lease also owns the bucket: leave it alone.
            () = lease.keep() => bail!("another process took over the rebuild of {}", P::NAME),
            () = shutdown.cancelled() => Ok(None),
        };
        let Ok(Some(generation)) = built else {
            // Delete only under a renewed lease: after losing it, another process may already use the bucket.
            if on_unfinished == Unfinished::Discard
                && lease.renew().await.is_ok()
                && let Err(error) = generations::delete(&self.nats, P::NAME, number).await
            {
                tracing::warn!(
                    "cannot delete the unfinished generation {number} of {}, the next rebuild will: {error:#}",
                    P::NAME
                );
            }
            return built.map(|_| None);
        };
        // Not cancelled by a shutdown: a write that was sent may still be stored.
        self.switch_readers::<P>(number, pointer.map_or(0, |pointer| pointer.revision)).await?;
        Ok(Some(Rebuilt {
            projection: P::NAME,
            generation: number,
            replaced,
            sequence: generation.views().sequence(),
            n_views: generation.views().iter().count(),
            fingerprint: fingerprint::of_views(generation.views())?,
        }))
    }

    async fn build<P: Projection>(
        &self,
        number: u64,
        progress: impl FnMut(u64, u64) + Send,
    ) -> anyhow::Result<Generation<P>> {
        let mut generation = Generation::<P>::open(self, number).await?;
        generation.catch_up(progress).await?;
        Ok(generation)
    }

    /// Deletes the unfinished generations of killed rebuilds. Returns the pointer.
    async fn delete_unfinished<P: Projection>(
        &self,
        on_unfinished: Unfinished,
    ) -> anyhow::Result<Option<Entry<Pointer>>> {
        let pointer = self.pointer(P::NAME).await?;
        let current = pointer.as_ref().map_or(0, |pointer| pointer.value.generation);
        let all = generations::list(&self.nats, P::NAME).await?;
        let mut unfinished: Vec<u64> = all.into_iter().filter(|number| *number > current).collect();
        if on_unfinished == Unfinished::Resume && unfinished.contains(&(current + 1)) {
            let checkpoint = self.checkpoint(P::NAME, current + 1).await?;
            if checkpoint.is_some_and(|checkpoint| self.can_resume::<P>(&checkpoint.value)) {
                unfinished.retain(|number| *number != current + 1);
            }
        }
        if unfinished.is_empty() {
            return Ok(pointer);
        }
        // A rebuild that hung until its lease expired could still switch readers to a generation deleted
        // here. Writing the pointer again changes its revision, so that rebuild's conditional write fails.
        if let Some(Entry { value, revision }) = &pointer {
            let (meta, key) = (self.nats.namespace.meta_bucket(), store::views::pointer_key(P::NAME));
            let claimed = store::views::write(&self.nats, &meta, &key, value, *revision).await;
            claimed.with_context(|| format!("renewing the pointer of {}", P::NAME))?;
        }
        for number in unfinished {
            tracing::info!("deleting the unfinished generation {number} of {}", P::NAME);
            generations::delete(&self.nats, P::NAME, number).await?;
        }
        self.pointer(P::NAME).await
    }

    /// Whether the checkpoint has this version and belongs to this stream, so that folding can continue.
    pub(super) fn can_resume<P: Projection>(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.version == P::VERSION && checkpoint.epoch == self.log.epoch()
    }
}
