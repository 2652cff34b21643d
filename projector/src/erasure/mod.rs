//! Erases users for good: what is left is a receipt that somebody was erased, by primary key alone.
//!
//! Killed at any moment, the same erasure can be begun again: each step finds what the one before it left to do.
//!
//! 1. The receipt, so that nobody records the user any more.
//! 2. What they are called is read from their events, while those are there.
//! 3. The inbox and the dead letters, as soon as the hints there are worked off.
//! 4. Their events. From here on nobody can tell who it was.
//! 5. New generations of all projections, and the end of the old ones.

mod events;
mod inbox;
mod traces;
mod who;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use domain::key::{DeliveryId, Entity, UserPk};
use domain::view::users::Users;
use runtime::health::Health;
use runtime::{CancellationToken, clock};
use serde::Serialize;
use store::replica::Replica;

pub use who::Named;

use self::events::Recorded;
use crate::directory::Directory;
use crate::projections::{ProjectionName, Projections, Rebuilt};
use crate::record::guard::Guard;
use crate::record::members::Members;

/// What an erasure is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waiting until the projectors have worked off the inbox.
    Waiting,
    /// Erasing from the inbox.
    Inbox,
    /// Erasing events.
    Events,
    /// Folding a projection anew.
    Folding(ProjectionName),
}

/// What an erasure did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Whom it was about.
    pub users: Vec<ErasedUser>,
    /// How many deliveries in the inbox mentioned them.
    pub n_deliveries: u64,
    /// How many dead letters mentioned them.
    pub n_dead_letters: u64,
    /// What readers use now.
    pub projections: Vec<Rebuilt>,
}

/// One user who was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ErasedUser {
    /// The primary key.
    pub pk: UserPk,
    /// Sequence of the receipt.
    pub receipt: u64,
    /// How many events were erased.
    pub n_events: u64,
}

/// Erases users.
pub struct Eraser {
    projections: Projections,
    public_url: String,
    patience: Duration,
    /// The users as they are recorded.
    users: Replica<Users>,
}

impl Eraser {
    /// Reads who is recorded. Receipts name `public_url` as the place of their schema; the inbox may stand still for as
    /// long as `patience` before it is worked off.
    pub async fn open(
        projections: Projections,
        public_url: String,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let users = Replica::default();
        users.catch_up(&projections.nats, &projections.log).await.context("reading who is recorded")?;
        Ok(Self { projections, public_url, patience, users })
    }

    /// The users who are named; an error where it is not certain who that is.
    pub async fn find(&self, named: &[Named]) -> anyhow::Result<BTreeSet<UserPk>> {
        who::find(&self.projections.log, &self.users, named).await
    }

    /// Makes sure that authentik, and the same one as before, has none of these users any more.
    pub async fn check_gone(&self, directory: &impl Directory, pks: &BTreeSet<UserPk>) -> anyhow::Result<()> {
        let Projections { nats, log, .. } = &self.projections;
        let guard = Guard::new(nats.clone(), log.clone(), Members::default(), Health::default());
        for pk in pks {
            let found = directory.user(*pk).await?;
            let recorded = self.recorded(*pk).await?;
            // Nobody knows who it was of whom no uuid is recorded.
            let uuids = recorded.traces.uuids();
            let is_same = found.is_some_and(|user| uuids.is_empty() || uuids.contains(&user.uuid));
            ensure!(!is_same, "user {pk} still exists in authentik: delete them there first");
            guard.check_installation(directory, *pk).await?;
        }
        Ok(())
    }

    async fn recorded(&self, pk: UserPk) -> anyhow::Result<Recorded> {
        let log = &self.projections.log;
        let newest = log.newest(Entity::User(pk)).await?;
        events::recorded(log, pk, newest.map_or(0, |newest| newest.sequence)).await
    }

    /// Erases the users. A shutdown leaves the rest to the next time.
    pub async fn erase(
        &self,
        pks: &BTreeSet<UserPk>,
        mut progress: impl FnMut(Stage, u64, u64) + Send,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Erased> {
        let erased = shutdown.run_until_cancelled(Box::pin(self.erase_messages(pks, &mut progress))).await;
        let mut erased = erased.context(CANCELLED)??;
        for name in ProjectionName::ALL {
            let rebuilt =
                self.projections.rebuild(name, |done, of| progress(Stage::Folding(name), done, of), shutdown);
            let rebuilt = Box::pin(rebuilt).await?.context(CANCELLED)?;
            // What they had of the users must not wait for a grace period.
            self.projections.delete_older(name.as_str(), rebuilt.generation).await?;
            erased.projections.push(rebuilt);
        }
        Ok(erased)
    }

    async fn erase_messages(
        &self,
        pks: &BTreeSet<UserPk>,
        progress: &mut (impl FnMut(Stage, u64, u64) + Send),
    ) -> anyhow::Result<Erased> {
        let Projections { nats, log, .. } = &self.projections;
        let cause: DeliveryId = format!("erasure-{}", clock::new_id().simple()).parse()?;
        let mut receipts = BTreeMap::new();
        for pk in pks {
            receipts.insert(*pk, events::write_receipt(log, &self.public_url, &cause, *pk).await?);
        }
        let Recorded { traces, n_events } = self.recorded_before(&receipts).await?;

        let head = inbox::head(nats).await?;
        inbox::worked_off(nats, head, self.patience, |done| progress(Stage::Waiting, done.min(head), head))
            .await?;
        let n_deliveries =
            inbox::erase(nats, &traces, head, |done| progress(Stage::Inbox, done, head)).await?;
        let n_dead_letters = inbox::erase_dead_letters(nats, &traces).await?;

        let mut users = vec![];
        let mut n_before = 0;
        for (pk, receipt) in receipts {
            let progress = |done| progress(Stage::Events, n_before + done, n_events);
            let n_events = events::erase(nats, log, pk, receipt, progress).await?;
            n_before += n_events;
            users.push(ErasedUser { pk, receipt, n_events });
        }
        Ok(Erased { users, n_deliveries, n_dead_letters, projections: vec![] })
    }

    /// What tells of the users and of nobody else.
    async fn recorded_before(&self, receipts: &BTreeMap<UserPk, u64>) -> anyhow::Result<Recorded> {
        let mut all = Recorded::default();
        for (pk, receipt) in receipts {
            let Recorded { traces, n_events } =
                events::recorded(&self.projections.log, *pk, *receipt).await?;
            all.traces.extend(traces);
            all.n_events += n_events;
        }
        self.users.read(|views| {
            let others = views.iter().filter(|(_, view)| !receipts.contains_key(&view.pk));
            others.filter_map(|(_, view)| view.user.as_ref()).for_each(|other| all.traces.leave_to(other));
        });
        Ok(all)
    }
}

const CANCELLED: &str = "stopped by a signal before the end: repeat the command";
