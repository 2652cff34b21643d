//! The brake's state in the meta bucket: read and written by every projector and by `projector catch-up`.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, bail};
use domain::brake::{Brake as State, BrakeStatus, Full, limit};
use domain::key::UserPk;
use domain::timestamp::Timestamp;
use runtime::nats::Nats;
use store::log::EventLog;
use store::publish::{PublishError, retry_delay};
use store::views;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::members::Members;

/// Key of the state in the meta bucket.
const KEY: &str = "brake";

/// How many times a conditional write is tried before the caller has to come back later.
const MAX_TRIES: u32 = 50;

/// The brake. Clones share their copy of the state.
#[derive(Clone)]
pub(crate) struct Brake {
    nats: Nats,
    log: EventLog,
    members: Members,
    copy: watch::Sender<Copy>,
    /// One write at a time in this process: more would only conflict with each other.
    writing: Arc<Mutex<()>>,
}

/// The state as this process last read it.
#[derive(Clone, Debug, Default)]
struct Copy {
    state: State,
    revision: u64,
    /// The server's time when the state was read, and the local monotonic time then.
    read: Option<(Timestamp, Instant)>,
}

impl Copy {
    fn has_places(&self, users: &BTreeSet<UserPk>) -> bool {
        let Some((time, at)) = self.read else { return false };
        let now = (time.to_offset_date_time() + at.elapsed()).into();
        users.iter().all(|pk| self.state.has_place(*pk, now))
    }
}

impl Brake {
    pub(crate) fn new(nats: Nats, log: EventLog, members: Members) -> Self {
        Self { nats, log, members, copy: watch::Sender::default(), writing: Arc::default() }
    }

    /// How many more users may be recorded as deleted now. Writes nothing.
    pub(crate) async fn room(&self) -> anyhow::Result<u64> {
        let (state, _, now) = self.read().await?;
        Ok(state.room(self.limit(), now))
    }

    /// Reserves a place for each of these users, or holds all of them. Returns the users who had no place before.
    ///
    /// A place is reserved before the deletion is appended, so concurrent projectors cannot exceed the limit.
    pub(crate) async fn reserve(
        &self,
        users: BTreeSet<UserPk>,
    ) -> anyhow::Result<Result<BTreeSet<UserPk>, Full>> {
        if self.copy.borrow().has_places(&users) {
            return Ok(Ok(BTreeSet::new()));
        }
        let limit = self.limit();
        self.update(|state, now| state.reserve(&users, limit, now)).await
    }

    /// Frees the place of a user who was not recorded as deleted after all.
    pub(crate) async fn give_back(&self, pk: UserPk) -> anyhow::Result<()> {
        self.update(|state, _| state.give_back(&BTreeSet::from([pk]))).await
    }

    /// Ends holding a user who exists. Costs no request unless this user is held.
    pub(crate) async fn release(&self, pk: UserPk) -> anyhow::Result<()> {
        if !self.copy.borrow().state.held().is_some_and(|held| held.users.contains(&pk)) {
            return Ok(());
        }
        self.update(|state, _| state.release(&BTreeSet::from([pk]))).await
    }

    /// Holds exactly these users: those whom a full comparison found missing and did not record.
    pub(crate) async fn hold_only(&self, missing: BTreeSet<UserPk>) -> anyhow::Result<()> {
        self.update(|state, now| {
            state.hold_only(&missing);
            state.hold(&missing, now);
        })
        .await
    }

    /// Allows this number of deletions more.
    pub(crate) async fn confirm(&self, n_deletions: u64, by: Option<UserPk>) -> anyhow::Result<()> {
        self.update(|state, now| state.confirm(n_deletions, by, now)).await
    }

    /// The state for operators.
    pub(crate) async fn status(&self) -> anyhow::Result<BrakeStatus> {
        let (state, _, now) = self.read().await?;
        Ok(state.status(self.limit(), now))
    }

    /// Reads the state. Returns when an operator confirmed deletions last.
    pub(crate) async fn refresh(&self) -> anyhow::Result<Option<Timestamp>> {
        let (state, revision, now) = self.read().await?;
        let last_confirmation = state.last_confirmation();
        self.keep(state, revision, now);
        Ok(last_confirmation)
    }

    /// Why deletions are held back, as of the last read; `None` if they are not.
    pub(crate) fn reason(&self) -> Option<String> {
        self.copy.borrow().state.reason()
    }

    /// How many users are recorded and not deleted.
    pub(crate) fn n_users(&self) -> u64 {
        self.members.n_users()
    }

    /// Waits for a confirmation after the given one. Another task must [refresh](Self::refresh) meanwhile.
    pub(crate) async fn confirmed_after(&self, last: Option<Timestamp>) {
        let is_newer = |copy: &Copy| copy.state.last_confirmation() > last;
        // This brake owns the sender, so the wait cannot fail.
        let _ = self.copy.subscribe().wait_for(is_newer).await;
    }

    fn limit(&self) -> u64 {
        limit(self.n_users())
    }

    /// Changes the state by one conditional write; by none where `change` leaves it as it is.
    async fn update<T>(&self, change: impl Fn(&mut State, Timestamp) -> T) -> anyhow::Result<T> {
        let _writing = self.writing.lock().await;
        for n_tries in 0..MAX_TRIES {
            let (mut state, revision, now) = self.read().await?;
            let before = state.clone();
            let result = change(&mut state, now);
            if state == before {
                self.keep(state, revision, now);
                return Ok(result);
            }
            match views::write(&self.nats, &self.bucket(), KEY, &state, revision).await {
                Ok(stored) => {
                    self.keep(state, stored.sequence, now);
                    return Ok(result);
                }
                Err(PublishError::Conflict | PublishError::InFlight | PublishError::Busy) => {
                    tokio::time::sleep(retry_delay(n_tries)).await;
                }
                Err(error) => return Err(error).context("writing the state of the brake"),
            }
        }
        bail!(
            "the state of the brake could not be written: too many projectors write it at once; retry later"
        )
    }

    async fn read(&self) -> anyhow::Result<(State, u64, Timestamp)> {
        let entry = views::read::<State>(&self.nats, &self.bucket(), KEY).await?;
        let (state, revision) = entry.map_or_else(Default::default, |entry| (entry.value, entry.revision));
        Ok((state, revision, self.log.server_time().await?))
    }

    fn bucket(&self) -> String {
        self.nats.namespace.meta_bucket()
    }

    /// Keeps a copy, unless a newer one was read meanwhile.
    fn keep(&self, state: State, revision: u64, now: Timestamp) {
        self.copy.send_if_modified(|copy| {
            let is_current = revision >= copy.revision;
            if is_current {
                *copy = Copy { state, revision, read: Some((now, Instant::now())) };
            }
            is_current
        });
    }
}
