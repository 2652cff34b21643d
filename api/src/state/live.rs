//! The state of this process: replicas of the projections, the newest events, and the rights of users.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::event::Recorded;
use domain::hint::InternalHint;
use domain::key::{Entity, GroupId, UserPk};
use domain::view::Projection;
use domain::view::activity::Activity;
use domain::view::groups::Groups;
use domain::view::users::{UserStatus, Users};
use runtime::CancellationToken;
use runtime::nats::Nats;
use store::log::{EventLog, ReadFrom, StoredMessage};
use store::publish::PublishError;
use store::replica::Replica;
use tokio::sync::watch;
use uuid::Uuid;

use crate::feed::{Feed, Filter, Frame, ReadLimits, Reader};
use crate::state::cursor::{Cursor, CursorError, StartPosition};
use crate::state::hints::Lookups;
use crate::state::people::{People, Revoked, Rights};
use crate::state::rate_limit::RateLimiter;
use crate::token::Claims;

/// The state that requests read.
///
/// It changes in two ways only, one at a time: [`LiveState::apply_message`] applies the next message of the event log,
/// and [`LiveState::replace_replica`] switches to a new generation of a projection.
pub struct LiveState {
    nats: Nats,
    log: EventLog,
    replicas: Mutex<Replicas>,
    feed: Feed,
    people: People,
    lookups: Lookups,
    rate_limiter: Mutex<RateLimiter>,
    shutdown: CancellationToken,
    is_stale: AtomicBool,
    writer: Mutex<()>,
}

/// What a [`LiveState`] starts with.
pub struct InitialState {
    pub nats: Nats,
    pub log: EventLog,
    pub replicas: Replicas,
    /// Known revocations. The users are indexed from their replica.
    pub people: People,
    /// The first sequence of the feed.
    pub feed_start: u64,
    pub shutdown: CancellationToken,
}

/// The replica of each projection. A new generation of a projection gets a new replica.
pub struct Replicas {
    pub users: Replica<Users>,
    pub groups: Replica<Groups>,
    pub activity: Replica<Activity>,
}

/// A projection that this process replicates.
pub trait ReplicatedProjection: Projection + Clone {
    /// Selects the projection's replica.
    fn select(replicas: &mut Replicas) -> &mut Replica<Self>;
}

impl ReplicatedProjection for Users {
    fn select(replicas: &mut Replicas) -> &mut Replica<Self> {
        &mut replicas.users
    }
}

impl ReplicatedProjection for Groups {
    fn select(replicas: &mut Replicas) -> &mut Replica<Self> {
        &mut replicas.groups
    }
}

impl ReplicatedProjection for Activity {
    fn select(replicas: &mut Replicas) -> &mut Replica<Self> {
        &mut replicas.activity
    }
}

impl From<InitialState> for LiveState {
    fn from(initial: InitialState) -> Self {
        initial.people.reindex(&initial.replicas.users);
        metrics::counter!("api_unreadable_events_total").increment(0);
        Self {
            nats: initial.nats,
            log: initial.log,
            replicas: Mutex::new(initial.replicas),
            feed: Feed::starting_at(initial.feed_start),
            people: initial.people,
            lookups: Lookups::default(),
            rate_limiter: Mutex::default(),
            shutdown: initial.shutdown,
            is_stale: AtomicBool::new(false),
            writer: Mutex::default(),
        }
    }
}

impl LiveState {
    pub fn nats(&self) -> &Nats {
        &self.nats
    }

    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// The current replica of a projection.
    pub fn replica<P: ReplicatedProjection>(&self) -> Replica<P> {
        P::select(&mut self.lock_replicas()).clone()
    }

    fn lock_replicas(&self) -> MutexGuard<'_, Replicas> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when the process shuts down.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Sequence of the newest message that was applied.
    pub fn head(&self) -> u64 {
        self.feed.head()
    }

    /// A receiver of [`LiveState::head`].
    pub fn subscribe_head(&self) -> watch::Receiver<u64> {
        self.feed.subscribe()
    }

    /// Returns the next events of a reader; see [`Reader::next`].
    pub async fn read_events(
        &self,
        reader: &mut Reader,
        filter: &Filter,
        limits: ReadLimits,
    ) -> anyhow::Result<Vec<Frame>> {
        reader.next(&self.feed, &self.log, filter, limits).await
    }

    /// The current rights of a token's owner.
    pub fn rights(&self, claims: &Claims) -> Result<Rights, Revoked> {
        self.people.rights(&self.replica(), claims)
    }

    /// A receiver that changes when anybody's rights may have changed.
    pub fn subscribe_rights(&self) -> watch::Receiver<u64> {
        self.people.subscribe()
    }

    /// Up to `limit` primary keys of recorded users above the given one, in ascending order.
    pub fn user_pks_after(&self, pk: Option<UserPk>, limit: usize) -> Vec<UserPk> {
        self.people.pks_after(pk, limit)
    }

    /// Whether the log could not be read for so long that revocations may have been missed.
    pub fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Acquire)
    }

    /// The position after the event with this sequence, in the form that clients use.
    pub fn cursor(&self, sequence: u64) -> String {
        Cursor { epoch: self.log.epoch().to_owned(), sequence }.to_string()
    }

    /// The subject filter that matches all events.
    pub fn all_events(&self) -> String {
        Filter::default().subject(self.log.namespace())
    }

    /// Resolves a start position to the sequence after which the client reads. Fails if an event after it is lost.
    pub async fn resolve(&self, start: StartPosition) -> Result<u64, CursorError> {
        match start {
            StartPosition::Now => Ok(self.head()),
            StartPosition::Earliest => Ok(0),
            StartPosition::Cursor(cursor) => self.check_cursor(&cursor).await,
            StartPosition::Time(time) => {
                let page = self.log.page(&self.all_events(), ReadFrom::Time(time), 1).await;
                let page = page.map_err(CursorError::Unavailable)?;
                Ok(page.first().map_or_else(|| self.head(), |first| first.sequence - 1))
            }
        }
    }

    async fn check_cursor(&self, cursor: &Cursor) -> Result<u64, CursorError> {
        if cursor.epoch != self.log.epoch() {
            return Err(CursorError::Gone("the cursor belongs to another stream of events"));
        }
        if self.feed.covers(cursor.sequence) {
            return Ok(cursor.sequence);
        }
        let bounds = self.log.bounds().await.map_err(CursorError::Unavailable)?;
        if cursor.sequence > bounds.last {
            return Err(CursorError::Gone("the cursor is beyond the last event"));
        }
        if cursor.sequence + 1 < bounds.first {
            return Err(CursorError::Gone("events after the cursor are no longer kept"));
        }
        Ok(cursor.sequence)
    }

    /// Stores a hint about an unrecorded caller, unless one was stored recently.
    pub async fn request_lookup(&self, sub: &str, hint: &InternalHint) -> Result<(), PublishError> {
        self.lookups.request(&self.nats, sub, hint).await
    }

    /// Counts a change by this caller. An error is the time after which the caller may change something again.
    pub fn check_rate_limit(&self, sub: &str) -> Result<(), Duration> {
        self.rate_limiter.lock().unwrap_or_else(PoisonError::into_inner).check(sub, Instant::now())
    }

    /// Applies the next log message to the views before it enters the feed, so that a revoked user never receives the
    /// event that revoked them.
    pub fn apply_message(&self, message: &StoredMessage) {
        let _writer = self.lock_writer();
        match message.decode() {
            Ok(event) => self.apply(&event),
            Err(error) => {
                metrics::counter!("api_unreadable_events_total").increment(1);
                tracing::error!("cannot decode event {}; the views skip it: {error}", message.sequence);
                self.replica::<Users>().advance(message.sequence);
                self.replica::<Groups>().advance(message.sequence);
                self.replica::<Activity>().advance(message.sequence);
            }
        }
        self.feed.push(message.sequence, Frame::of(message, self.log.namespace(), self.log.epoch()));
        #[expect(clippy::cast_precision_loss, reason = "no stream comes near 2^52 events")]
        metrics::gauge!("api_feed_sequence").set(message.sequence as f64);
    }

    fn apply(&self, event: &Recorded) {
        let before = self.access_state(event.event.subject);
        self.replica::<Users>().apply(event);
        self.replica::<Groups>().apply(event);
        self.replica::<Activity>().apply(event);
        self.people.apply(event, |group| self.group_name(group));
        if self.access_state(event.event.subject) != before {
            self.people.notify_changed();
        }
    }

    /// The parts of a user's view that decide about access.
    fn access_state(&self, entity: Entity) -> Option<(UserStatus, u64, Option<Uuid>)> {
        let Entity::User(pk) = entity else { return None };
        self.replica::<Users>().read(|views| {
            let view = views.get(&pk.to_string())?;
            Some((view.status, view.registered_sequence, view.user.as_ref().map(|user| user.uuid)))
        })
    }

    fn group_name(&self, group: GroupId) -> Option<String> {
        let name = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        self.replica::<Groups>().read(|views| name(&views.get(&group.to_string())?.group.as_ref()?.name))
    }

    /// Replaces the replica of a projection. Returns false, and changes nothing, if `fresh` is behind the feed.
    pub fn replace_replica<P: ReplicatedProjection>(&self, fresh: &Replica<P>) -> bool {
        let _writer = self.lock_writer();
        if fresh.sequence() < self.feed.head() {
            return false;
        }
        *P::select(&mut self.lock_replicas()) = fresh.clone();
        self.people.reindex(&self.replica());
        true
    }

    fn lock_writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets [`LiveState::is_stale`]. A change makes open streams check their rights.
    pub fn set_stale(&self, is_stale: bool) {
        metrics::gauge!("api_stale").set(if is_stale { 1.0 } else { 0.0 });
        if self.is_stale.swap(is_stale, Ordering::AcqRel) != is_stale {
            self.people.notify_changed();
        }
    }
}
