//! The recorded members of each group, in memory. A group's hint compares them with authentik's members.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use domain::event::{Recorded, StateAfter};
use domain::key::{Entity, GroupId, UserPk};
use domain::snapshot::User;
use domain::view::Projection;
use domain::view::users::{UserView, Users};
use runtime::CancellationToken;
use runtime::health::Health;
use runtime::nats::Nats;
use store::log::EventLog;
use store::views::{self, Pointer, pointer_key};
use tokio::sync::watch;

/// How long a hint waits for the memberships to catch up with the log before it goes back to the inbox.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Recorded memberships. Clones share one copy.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    index: Arc<RwLock<Index>>,
    sequence: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Index {
    by_group: HashMap<GroupId, BTreeSet<UserPk>>,
    by_user: HashMap<UserPk, BTreeSet<GroupId>>,
}

impl Index {
    fn set(&mut self, pk: UserPk, groups: BTreeSet<GroupId>) {
        let before = self.by_user.remove(&pk).unwrap_or_default();
        for id in before.difference(&groups) {
            if let Some(members) = self.by_group.get_mut(id) {
                members.remove(&pk);
            }
        }
        for id in groups.difference(&before) {
            self.by_group.entry(*id).or_default().insert(pk);
        }
        self.by_user.insert(pk, groups);
    }

    fn remove(&mut self, pk: UserPk) {
        self.set(pk, BTreeSet::new());
        self.by_user.remove(&pk);
    }
}

impl Default for Members {
    fn default() -> Self {
        Self { index: Arc::default(), sequence: watch::Sender::new(0) }
    }
}

impl Members {
    /// Direct members of a group.
    pub(crate) fn of(&self, id: GroupId) -> BTreeSet<UserPk> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.by_group.get(&id).cloned().unwrap_or_default()
    }

    /// How many users are recorded and not deleted.
    pub(crate) fn n_users(&self) -> u64 {
        self.index.read().unwrap_or_else(PoisonError::into_inner).by_user.len() as u64
    }

    /// Waits until the event with this sequence is applied. Fails after [`CATCH_UP`].
    pub(crate) async fn wait_for(&self, sequence: u64) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(CATCH_UP, self.caught_up(sequence)).await;
        waited.context("the recorded memberships lag behind the log; retry later")?
    }

    /// Waits until the event with this sequence is applied, without a limit.
    pub(crate) async fn caught_up(&self, sequence: u64) -> anyhow::Result<()> {
        let mut seen = self.sequence.subscribe();
        seen.wait_for(|seen| *seen >= sequence).await.context("the task that follows the log has ended")?;
        Ok(())
    }

    fn apply(&self, event: &Recorded) {
        let Entity::User(pk) = event.event.subject else { return };
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        match event.event.body.after() {
            StateAfter::User(user) => index.set(pk, user.groups.clone()),
            StateAfter::UserGone(_)
            | StateAfter::UserErased
            | StateAfter::Group(_)
            | StateAfter::GroupGone(_) => index.remove(pk),
        }
    }

    fn load<'a>(&self, users: impl Iterator<Item = &'a UserView>, sequence: u64) {
        let mut index = Index::default();
        for user in users.filter_map(UserView::present) {
            let User { pk, groups, .. } = user;
            index.set(*pk, groups.clone());
        }
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        self.sequence.send_replace(sequence);
    }
}

/// Keeps the memberships up to date until shutdown: loads the users' projection, then applies each event.
pub(crate) async fn follow(
    members: Members,
    nats: Nats,
    log: EventLog,
    health: Health,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    while !shutdown.is_cancelled() {
        let followed =
            shutdown.run_until_cancelled(Box::pin(follow_once(&members, &nats, &log, &health))).await;
        if let Some(Err(error)) = followed {
            tracing::warn!("cannot update the recorded memberships: {error:#}");
            health.failed("members", format!("{error:#}"));
            shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await;
        }
    }
    Ok(())
}

async fn follow_once(members: &Members, nats: &Nats, log: &EventLog, health: &Health) -> anyhow::Result<()> {
    let begin = load(members, nats).await?;
    let mut events = log.follow(begin + 1);
    let head = log.head().await?;
    if begin >= head {
        health.ok("members");
    }
    loop {
        let message = events.next().await?;
        match message.decode() {
            Ok(event) => members.apply(&event),
            Err(error) => tracing::warn!("skipped event {}: {error}", message.sequence),
        }
        members.sequence.send_replace(message.sequence);
        if message.sequence >= head {
            health.ok("members");
        }
    }
}

async fn load(members: &Members, nats: &Nats) -> anyhow::Result<u64> {
    let meta = nats.namespace.meta_bucket();
    let pointer = views::read::<Pointer>(nats, &meta, &pointer_key(Users::NAME)).await?;
    let Some(pointer) = pointer.filter(|pointer| pointer.value.version == Users::VERSION) else {
        members.load(std::iter::empty(), 0);
        return Ok(0);
    };
    let bucket = nats.namespace.projection_bucket(Users::NAME, pointer.value.generation);
    let loaded = views::load::<Users>(nats, &bucket).await?;
    let sequence = loaded.checkpoint.map_or(0, |checkpoint| checkpoint.value.sequence);
    members.load(loaded.views.values(), sequence);
    Ok(sequence)
}
