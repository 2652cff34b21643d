//! Blue and green: a new generation beside the one that readers use, then one write that points them to it.

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

/// What a rebuild made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Name of the projection.
    pub projection: &'static str,
    /// The generation that readers use now.
    pub generation: u64,
    /// The one that they used before.
    pub replaced: Option<u64>,
    /// Sequence of the last event in it.
    pub sequence: u64,
    /// How many views it has.
    pub n_views: usize,
    /// SHA-256 over keys and values in the order of the keys.
    pub fingerprint: String,
}

/// What becomes of a generation that was begun and never pointed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HalfBuilt {
    /// It is deleted.
    Discard,
    /// It is folded on, if it is of this version and stream.
    GoOn,
}

/// Somebody else is at it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{projection} is being rebuilt already, by {holder}: wait for it, or stop it")]
pub(crate) struct RebuiltAlready {
    projection: &'static str,
    holder: String,
}

/// Name of the lease that a rebuild holds.
pub(super) fn lease_name<P: Projection>() -> String {
    lease_of(P::NAME)
}

fn lease_of(projection: &str) -> String {
    format!("rebuild.{projection}")
}

impl Projections {
    /// Claims the right to rebuild a projection. Nothing where the shutdown comes first.
    pub(crate) async fn claim_rebuild(
        &self,
        name: ProjectionName,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Result<Held, RebuiltAlready>>> {
        let projection = name.as_str();
        let lease = lease_of(projection);
        let acquired = shutdown.run_until_cancelled(lease::try_acquire(&self.nats, &lease)).await;
        let acquired = acquired.transpose()?;
        Ok(acquired.map(|acquired| acquired.map_err(|holder| RebuiltAlready { projection, holder })))
    }

    pub(super) async fn rebuild_one<P: Projection>(
        &self,
        mut lease: Held,
        progress: impl FnMut(u64, u64) + Send,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Rebuilt>> {
        let rebuilt = self.build_and_switch::<P>(&mut lease, HalfBuilt::Discard, progress, shutdown).await;
        lease.give_back().await;
        rebuilt
    }

    /// Builds the next generation, and points readers to it, under the rebuild's lease.
    pub(super) async fn build_and_switch<P: Projection>(
        &self,
        lease: &mut Held,
        half_built: HalfBuilt,
        progress: impl FnMut(u64, u64) + Send,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Rebuilt>> {
        let pointer = self.clear::<P>(half_built).await?;
        let replaced = pointer.as_ref().map(|pointer| pointer.value.generation);
        let number = replaced.unwrap_or(0) + 1;
        let built = tokio::select! {
            built = self.build::<P>(number, progress) => built.map(Some),
            // Whoever has the lease now has the bucket too: leave it alone.
            () = lease.keep() => bail!("another process took over the rebuild of {}", P::NAME),
            () = shutdown.cancelled() => Ok(None),
        };
        let Ok(Some(generation)) = built else {
            // Where the lease is lost, or NATS is away, the bucket may be somebody else's by the time it is deleted.
            if half_built == HalfBuilt::Discard
                && lease.renew().await.is_ok()
                && let Err(error) = generations::delete(&self.nats, P::NAME, number).await
            {
                tracing::warn!("the next rebuild of {} will delete generation {number}: {error:#}", P::NAME);
            }
            return built.map(|_| None);
        };
        // Not to be cut off: a write that was sent can arrive.
        self.point_to::<P>(number, pointer.map_or(0, |pointer| pointer.revision)).await?;
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

    /// Deletes what rebuilds that were killed left behind. Returns the pointer.
    async fn clear<P: Projection>(&self, half_built: HalfBuilt) -> anyhow::Result<Option<Entry<Pointer>>> {
        let pointer = self.pointer(P::NAME).await?;
        let current = pointer.as_ref().map_or(0, |pointer| pointer.value.generation);
        let all = generations::list(&self.nats, P::NAME).await?;
        let mut left: Vec<u64> = all.into_iter().filter(|number| *number > current).collect();
        if half_built == HalfBuilt::GoOn && left.contains(&(current + 1)) {
            let checkpoint = self.checkpoint(P::NAME, current + 1).await?;
            if checkpoint.is_some_and(|checkpoint| self.can_go_on::<P>(&checkpoint.value)) {
                left.retain(|number| *number != current + 1);
            }
        }
        if left.is_empty() {
            return Ok(pointer);
        }
        // A rebuild that hangs since before its lease expired could still point to what is deleted here: its
        // write expects the revision that ends now.
        if let Some(Entry { value, revision }) = &pointer {
            let (meta, key) = (self.nats.namespace.meta_bucket(), store::views::pointer_key(P::NAME));
            let claimed = store::views::write(&self.nats, &meta, &key, value, *revision).await;
            claimed.with_context(|| format!("claiming the pointer of {}", P::NAME))?;
        }
        for number in left {
            tracing::info!("deleting generation {number} of {}, which was never finished", P::NAME);
            generations::delete(&self.nats, P::NAME, number).await?;
        }
        self.pointer(P::NAME).await
    }

    /// Whether what has this checkpoint can be folded on by this version, from this stream.
    pub(super) fn can_go_on<P: Projection>(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.version == P::VERSION && checkpoint.epoch == self.log.epoch()
    }
}
