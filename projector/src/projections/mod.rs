//! Projections: folds them live, rebuilds them beside the live ones, and verifies them against the events.

mod generation;
mod rebuild;
mod runner;
mod verify;

use anyhow::Context;
use domain::view::activity::Activity;
use domain::view::groups::Groups;
use domain::view::users::Users;
use domain::view::{CHECKPOINT_KEY, Checkpoint, Projection};
use runtime::CancellationToken;
use runtime::nats::Nats;
use store::generations;
use store::log::EventLog;
use store::views::{self, Entry, Pointer, pointer_key};

pub use rebuild::Rebuilt;
pub(crate) use runner::Runner;
pub use verify::{Difference, Verified};

use crate::lease::Held;

/// A projection by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProjectionName {
    /// Each user's current state.
    Users,
    /// Each group's current state.
    Groups,
    /// How many events of each type a day had.
    Activity,
}

impl ProjectionName {
    /// All projections.
    pub const ALL: [Self; 3] = [Self::Users, Self::Groups, Self::Activity];

    /// The name as it appears in bucket names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Users => Users::NAME,
            Self::Groups => Groups::NAME,
            Self::Activity => Activity::NAME,
        }
    }
}

/// The event log that projections are folded from, and the connection to their buckets.
#[derive(Clone, Debug)]
pub struct Projections {
    /// The connection.
    pub nats: Nats,
    /// The events.
    pub log: EventLog,
    /// Replicas of each bucket that is created.
    pub replicas: u8,
}

impl Projections {
    /// Folds all events into a new generation and switches readers to it. Fails while another rebuild runs.
    ///
    /// Returns nothing if `shutdown` comes first; readers and buckets then stay unchanged. `progress`
    /// receives the folded sequence and the newest one.
    pub async fn rebuild(
        &self,
        name: ProjectionName,
        progress: impl FnMut(u64, u64) + Send,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Rebuilt>> {
        match self.claim_rebuild(name, shutdown).await? {
            Some(lease) => self.rebuild_claimed(name, lease?, progress, shutdown).await,
            None => Ok(None),
        }
    }

    /// [`Self::rebuild`] under a lease from [`Self::claim_rebuild`].
    pub(crate) async fn rebuild_claimed(
        &self,
        name: ProjectionName,
        lease: Held,
        progress: impl FnMut(u64, u64) + Send,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Rebuilt>> {
        match name {
            ProjectionName::Users => Box::pin(self.rebuild_one::<Users>(lease, progress, shutdown)).await,
            ProjectionName::Groups => Box::pin(self.rebuild_one::<Groups>(lease, progress, shutdown)).await,
            ProjectionName::Activity => {
                Box::pin(self.rebuild_one::<Activity>(lease, progress, shutdown)).await
            }
        }
    }

    /// Folds all events in memory and compares the result with the generation that readers use.
    pub async fn verify(
        &self,
        name: ProjectionName,
        progress: impl FnMut(u64, u64) + Send,
    ) -> anyhow::Result<Verified> {
        match name {
            ProjectionName::Users => self.verify_one::<Users>(progress).await,
            ProjectionName::Groups => self.verify_one::<Groups>(progress).await,
            ProjectionName::Activity => self.verify_one::<Activity>(progress).await,
        }
    }

    /// The generation that readers use.
    pub(crate) async fn pointer(&self, name: &str) -> anyhow::Result<Option<Entry<Pointer>>> {
        views::read(&self.nats, &self.nats.namespace.meta_bucket(), &pointer_key(name)).await
    }

    /// The checkpoint of a generation, or nothing if its bucket was never written.
    pub(crate) async fn checkpoint(
        &self,
        name: &str,
        generation: u64,
    ) -> anyhow::Result<Option<Entry<Checkpoint>>> {
        let bucket = self.nats.namespace.projection_bucket(name, generation);
        views::read(&self.nats, &bucket, CHECKPOINT_KEY).await
    }

    /// Deletes all generations before `number`, which must be the one that readers use.
    pub(crate) async fn delete_older(&self, name: &str, number: u64) -> anyhow::Result<()> {
        let pointer = self.pointer(name).await?;
        let is_pointed_to = pointer.is_some_and(|pointer| pointer.value.generation == number);
        anyhow::ensure!(is_pointed_to, "readers of {name} do not use generation {number}");
        for older in generations::list(&self.nats, name).await?.into_iter().filter(|older| *older < number) {
            tracing::info!("deleting the replaced generation {older} of {name}");
            generations::delete(&self.nats, name, older).await?;
        }
        Ok(())
    }

    /// Switches readers to a generation, provided that the pointer still has that revision.
    async fn switch_readers<P: Projection>(&self, generation: u64, revision: u64) -> anyhow::Result<()> {
        let pointer = Pointer { generation, version: P::VERSION };
        let meta = self.nats.namespace.meta_bucket();
        let written = views::write(&self.nats, &meta, &pointer_key(P::NAME), &pointer, revision).await;
        written.with_context(|| format!("switching readers of {} to generation {generation}", P::NAME))?;
        tracing::info!("switched readers of {} to generation {generation}", P::NAME);
        Ok(())
    }
}
