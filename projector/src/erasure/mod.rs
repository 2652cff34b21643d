//! Erases users permanently. Only a receipt remains, which names each user by primary key alone.
//!
//! An erasure that was killed at any point can be repeated: each step finds the work that is left.
//!
//! 1. Write the receipt. From then on workers treat the user as gone.
//! 2. Read the user's identifiers from the user's events, while those still exist.
//! 3. Erase from the inbox and the dead letters, once the hints in the inbox are processed.
//! 4. Erase the user's events. After this step nothing links the primary key to a person.
//! 5. Rebuild all projections and delete their old generations.

mod events;
mod identifiers;
mod inbox;
mod user_selector;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use domain::key::{DeliveryId, Entity, UserPk};
use domain::view::users::Users;
use runtime::{CancellationToken, clock};
use serde::Serialize;
use store::replica::Replica;

pub use user_selector::UserSelector;

use self::events::Recorded;
use crate::directory::Directory;
use crate::projections::{ProjectionName, Projections, Rebuilt};
use crate::record::guard::Guard;
use crate::record::members::Members;

/// The current step of an erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waiting until the projectors have processed the inbox.
    Waiting,
    /// Erasing from the inbox.
    Inbox,
    /// Erasing events.
    Events,
    /// Rebuilding a projection.
    Rebuilding(ProjectionName),
}

/// The result of an erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// The erased users.
    pub users: Vec<ErasedUser>,
    /// Number of erased deliveries in the inbox, which mentioned the users.
    pub n_deliveries: u64,
    /// Number of erased dead letters, which mentioned the users.
    pub n_dead_letters: u64,
    /// The rebuilt projections.
    pub projections: Vec<Rebuilt>,
}

/// One erased user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ErasedUser {
    /// The primary key.
    pub pk: UserPk,
    /// Sequence of the receipt.
    pub receipt: u64,
    /// Number of erased events.
    pub n_events: u64,
}

/// Erases users.
pub struct Eraser {
    projections: Projections,
    public_url: String,
    max_inbox_idle: Duration,
    /// The recorded users.
    users: Replica<Users>,
}

impl Eraser {
    /// Loads the recorded users.
    ///
    /// The schema URLs of receipts start with `public_url`. An erasure gives up when the projectors make no
    /// progress with the inbox for `max_inbox_idle`.
    pub async fn open(
        projections: Projections,
        public_url: String,
        max_inbox_idle: Duration,
    ) -> anyhow::Result<Self> {
        let users = Replica::default();
        users.catch_up(&projections.nats, &projections.log).await.context("loading the recorded users")?;
        Ok(Self { projections, public_url, max_inbox_idle, users })
    }

    /// The primary keys of the selected users. Fails if a selector matches no user, or more than one.
    pub async fn find(&self, selectors: &[UserSelector]) -> anyhow::Result<BTreeSet<UserPk>> {
        user_selector::find(&self.projections.log, &self.users, selectors).await
    }

    /// Fails if one of the users still exists in authentik, or if authentik is another installation.
    pub async fn check_gone(&self, directory: &impl Directory, pks: &BTreeSet<UserPk>) -> anyhow::Result<()> {
        let Projections { nats, log, .. } = &self.projections;
        let guard = Guard::new(nats.clone(), log.clone(), Members::default());
        for pk in pks {
            let found = directory.user(*pk).await?;
            let recorded = self.recorded(*pk).await?;
            // A user without a recorded uuid cannot be told apart from a later user with the same key.
            let uuids = recorded.identifiers.uuids();
            let is_same = found.is_some_and(|user| uuids.is_empty() || uuids.contains(&user.uuid));
            ensure!(!is_same, "user {pk} still exists in authentik: delete the user there first");
            guard.check_installation(directory, *pk).await?;
        }
        Ok(())
    }

    async fn recorded(&self, pk: UserPk) -> anyhow::Result<Recorded> {
        let log = &self.projections.log;
        let newest = log.newest(Entity::User(pk)).await?;
        events::read_recorded(log, pk, newest.map_or(0, |newest| newest.sequence)).await
    }

    /// Erases the users. After a shutdown, repeat the call to finish the erasure.
    ///
    /// `progress` receives the step, how much of it is done, and its size.
    pub async fn erase(
        &self,
        pks: &BTreeSet<UserPk>,
        mut progress: impl FnMut(Stage, u64, u64) + Send,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Erased> {
        let erased = shutdown.run_until_cancelled(Box::pin(self.erase_messages(pks, &mut progress))).await;
        let mut erased = erased.context(CANCELLED)??;
        for name in ProjectionName::ALL {
            let progress = |done, of| progress(Stage::Rebuilding(name), done, of);
            let rebuilt = Box::pin(self.projections.rebuild(name, progress, shutdown)).await?;
            let rebuilt = rebuilt.context(CANCELLED)?;
            // Delete the old generations without a grace period: they hold the users' data.
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
        let Recorded { identifiers, n_events } = self.recorded_before(&receipts).await?;

        let head = inbox::head(nats).await?;
        let waiting = |done: u64| progress(Stage::Waiting, done.min(head), head);
        inbox::wait_until_processed(nats, head, self.max_inbox_idle, waiting).await?;
        let n_deliveries =
            inbox::erase(nats, &identifiers, head, |done| progress(Stage::Inbox, done, head)).await?;
        let n_dead_letters = inbox::erase_dead_letters(nats, &identifiers).await?;

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

    /// The records of the users before their receipts, without identifiers that other users share.
    async fn recorded_before(&self, receipts: &BTreeMap<UserPk, u64>) -> anyhow::Result<Recorded> {
        let mut all = Recorded::default();
        for (pk, receipt) in receipts {
            let recorded = events::read_recorded(&self.projections.log, *pk, *receipt).await?;
            all.identifiers.extend(recorded.identifiers);
            all.n_events += recorded.n_events;
        }
        self.users.read(|views| {
            let others = views.iter().filter(|(_, view)| !receipts.contains_key(&view.pk));
            let others = others.filter_map(|(_, view)| view.user.as_ref());
            others.for_each(|user| all.identifiers.remove_shared_with(user));
        });
        Ok(all)
    }
}

const CANCELLED: &str = "stopped by a signal before the erasure was complete: repeat the command";
