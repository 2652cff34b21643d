//! Folds a projection, live: one holder each among all projectors.

use std::time::Duration;

use domain::view::Projection;
use runtime::CancellationToken;
use runtime::health::Health;
use store::publish::retry_delay;
use store::views::Pointer;

use super::Projections;
use super::generation::Generation;
use super::rebuild::{HalfBuilt, lease_name};
use crate::lease;

/// How often a runner looks whether readers were pointed to another generation.
const LOOK: Duration = Duration::from_secs(1);

/// Runs projections, and deletes the generations that they replaced.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) projections: Projections,
    /// How long a generation is kept after readers were pointed to a newer one.
    pub(crate) grace: Duration,
    pub(crate) health: Health,
}

impl Runner {
    /// Runs until shutdown. Trouble is logged and tried again from what is stored; readiness says what it is.
    pub(crate) async fn run<P: Projection + Send + Sync + 'static>(
        self,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        while let Some(mut lease) = lease::acquire(&self.projections.nats, P::NAME, &shutdown).await {
            tracing::info!("folding {}", P::NAME);
            tokio::select! {
                () = self.fold_until::<P>(&shutdown) => {}
                () = lease.keep() => tracing::info!("another process folds {} from now on", P::NAME),
            }
            // Who folds it tells how it is.
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
                    tracing::warn!(
                        "stopped folding {}, will begin again from what is stored: {error:#}",
                        P::NAME
                    );
                    self.health.failed(P::NAME, format!("{error:#}"));
                    shutdown.run_until_cancelled(tokio::time::sleep(retry_delay(n_failures))).await;
                    n_failures += 1;
                }
            }
        }
    }

    /// Folds the generation that readers use, until they are pointed to another one or the shutdown comes.
    async fn fold<P: Projection>(&self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let Some(number) = self.usable_or_built::<P>(shutdown).await? else { return Ok(()) };
        let mut generation = Generation::<P>::open(&self.projections, number).await?;
        self.health.ok(P::NAME);
        tokio::select! {
            ended = generation.follow() => ended,
            () = self.replaced::<P>(number) => Ok(()),
            () = self.delete_older::<P>(number) => Ok(()),
            () = shutdown.cancelled() => Ok(()),
        }
    }

    /// The generation that readers use. One of another version or of another stream is first replaced by one that
    /// is folded anew beside it. Nothing where the shutdown comes first.
    async fn usable_or_built<P: Projection>(
        &self,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<u64>> {
        let usable = self.usable::<P>().await?;
        if usable.is_some() {
            return Ok(usable);
        }
        let name = lease_name::<P>();
        let Some(mut lease) = lease::acquire(&self.projections.nats, &name, shutdown).await else {
            return Ok(None);
        };
        let number = match self.usable::<P>().await {
            // A rebuild was faster.
            Ok(Some(number)) => Ok(Some(number)),
            Ok(None) => {
                let rebuilt =
                    self.projections.build_and_switch::<P>(&mut lease, HalfBuilt::GoOn, |_, _| {}, shutdown);
                rebuilt.await.map(|rebuilt| rebuilt.map(|rebuilt| rebuilt.generation))
            }
            Err(error) => Err(error),
        };
        lease.give_back().await;
        number
    }

    async fn usable<P: Projection>(&self) -> anyhow::Result<Option<u64>> {
        let Some(pointer) = self.projections.pointer(P::NAME).await? else { return Ok(None) };
        let Pointer { generation, version } = pointer.value;
        if version != P::VERSION {
            return Ok(None);
        }
        let checkpoint = self.projections.checkpoint(P::NAME, generation).await?;
        let can_go_on =
            checkpoint.is_none_or(|checkpoint| self.projections.can_go_on::<P>(&checkpoint.value));
        Ok(can_go_on.then_some(generation))
    }

    /// Waits until readers are pointed to another generation.
    async fn replaced<P: Projection>(&self, number: u64) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.projections.pointer(P::NAME).await {
                Ok(Some(pointer)) if pointer.value.generation == number => {}
                Ok(_) => return,
                Err(error) => tracing::debug!("cannot read the pointer of {} now: {error:#}", P::NAME),
            }
        }
    }

    /// Deletes the generations before this one once nobody can be reading them any more; never ends.
    async fn delete_older<P: Projection>(&self, number: u64) {
        loop {
            tokio::time::sleep(self.grace).await;
            match self.projections.delete_older(P::NAME, number).await {
                Ok(()) => std::future::pending().await,
                Err(error) => {
                    tracing::warn!("cannot delete old generations of {} now: {error:#}", P::NAME);
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }
}
