//! Folds each projection live, in one projector at a time.

use std::time::Duration;

use domain::view::Projection;
use runtime::CancellationToken;
use runtime::health::Health;
use store::publish::retry_delay;
use store::views::Pointer;

use super::Projections;
use super::generation::Generation;
use super::rebuild::{Unfinished, lease_name};
use crate::lease;

/// How often a runner reads the pointer to see whether readers were switched to another generation.
const POINTER_POLL: Duration = Duration::from_secs(1);

/// Folds projections and deletes replaced generations.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) projections: Projections,
    /// How long to keep a generation after readers were switched to a newer one.
    pub(crate) grace: Duration,
    pub(crate) health: Health,
}

impl Runner {
    /// Runs until shutdown. After a failure, which readiness shows, folding restarts from the stored state.
    pub(crate) async fn run<P: Projection + Send + Sync + 'static>(
        self,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        while let Some(mut lease) = lease::acquire(&self.projections.nats, P::NAME, &shutdown).await {
            tracing::info!("folding {}", P::NAME);
            tokio::select! {
                () = self.fold_until::<P>(&shutdown) => {}
                () = lease.keep() => tracing::info!("lost the lease of {}: another process folds it", P::NAME),
            }
            // Only the process that folds a projection reports its failures.
            self.health.ok(P::NAME);
            lease.give_back().await;
        }
        Ok(())
    }

    async fn fold_until<P: Projection>(&self, shutdown: &CancellationToken) {
        let mut n_failures = 0;
        while !shutdown.is_cancelled() {
            match self.fold::<P>(shutdown).await {
                Ok(()) => n_failures = 0,
                Err(error) => {
                    tracing::warn!("folding {} failed, restarting from the stored state: {error:#}", P::NAME);
                    self.health.failed(P::NAME, format!("{error:#}"));
                    shutdown.run_until_cancelled(tokio::time::sleep(retry_delay(n_failures))).await;
                    n_failures += 1;
                }
            }
        }
    }

    /// Folds the generation that readers use, until they are switched to another one or `shutdown` comes.
    async fn fold<P: Projection>(&self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let Some(number) = self.usable_or_rebuilt::<P>(shutdown).await? else { return Ok(()) };
        let mut generation = Generation::<P>::open(&self.projections, number).await?;
        self.health.ok(P::NAME);
        tokio::select! {
            ended = generation.follow() => ended,
            () = self.wait_until_replaced::<P>(number) => Ok(()),
            () = self.delete_older::<P>(number) => Ok(()),
            () = shutdown.cancelled() => Ok(()),
        }
    }

    /// The generation that readers use. If it has another version or comes from another stream, rebuilds the
    /// projection first. Returns nothing if `shutdown` comes first.
    async fn usable_or_rebuilt<P: Projection>(
        &self,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<u64>> {
        let usable = self.usable::<P>().await?;
        if usable.is_some() {
            return Ok(usable);
        }
        let name = lease_name(P::NAME);
        let Some(mut lease) = lease::acquire(&self.projections.nats, &name, shutdown).await else {
            return Ok(None);
        };
        let number = match self.usable::<P>().await {
            // Another process rebuilt it while this one waited for the lease.
            Ok(Some(number)) => Ok(Some(number)),
            Ok(None) => {
                let rebuilt = self.projections.build_and_switch::<P>(
                    &mut lease,
                    Unfinished::Resume,
                    |_, _| {},
                    shutdown,
                );
                rebuilt.await.map(|rebuilt| rebuilt.map(|rebuilt| rebuilt.generation))
            }
            Err(error) => Err(error),
        };
        lease.give_back().await;
        number
    }

    /// The generation that readers use, if this version can continue to fold it.
    async fn usable<P: Projection>(&self) -> anyhow::Result<Option<u64>> {
        let Some(pointer) = self.projections.pointer(P::NAME).await? else { return Ok(None) };
        let Pointer { generation, version } = pointer.value;
        if version != P::VERSION {
            return Ok(None);
        }
        let checkpoint = self.projections.checkpoint(P::NAME, generation).await?;
        let can_resume =
            checkpoint.is_none_or(|checkpoint| self.projections.can_resume::<P>(&checkpoint.value));
        Ok(can_resume.then_some(generation))
    }

    /// Waits until readers are switched to another generation.
    async fn wait_until_replaced<P: Projection>(&self, number: u64) {
        loop {
            tokio::time::sleep(POINTER_POLL).await;
            match self.projections.pointer(P::NAME).await {
                Ok(Some(pointer)) if pointer.value.generation == number => {}
                Ok(_) => return,
                Err(error) => tracing::debug!("cannot read the pointer of {}, retrying: {error:#}", P::NAME),
            }
        }
    }

    /// Deletes the generations before this one after the grace period; never returns.
    async fn delete_older<P: Projection>(&self, number: u64) {
        loop {
            tokio::time::sleep(self.grace).await;
            match self.projections.delete_older(P::NAME, number).await {
                Ok(()) => std::future::pending().await,
                Err(error) => {
                    tracing::warn!("cannot delete old generations of {}, retrying: {error:#}", P::NAME);
                    tokio::time::sleep(POINTER_POLL).await;
                }
            }
        }
    }
}
