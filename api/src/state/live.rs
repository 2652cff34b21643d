//! The state of this process: replicas of the projections, the newest events, and the rights of users.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::event::Recorded;
use domain::hint::OwnHint;
use domain::key::{Entity, GroupId, UserPk};
use domain::view::Projection;
use domain::view::activity::Activity;
use domain::view::groups::Groups;
use domain::view::users::{UserStatus, Users};
use runtime::CancellationToken;
use runtime::nats::Nats;
use store::log::{EventLog, ReadFrom, StoredMessage};
use store::replica::Replica;
use tokio::sync::watch;
use uuid::Uuid;

use crate::feed::{Feed, Filter, Frame, ReadLimits, Reader};
use crate::state::cursor::{Cursor, CursorError, StartPosition};
use crate::state::hints::{HintNotStored, Lookups};
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
    users: ReplicaSlot<Users>,
    groups: ReplicaSlot<Groups>,
    activity: ReplicaSlot<Activity>,
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
    /// The connection.
    pub nats: Nats,
    /// The event log.
    pub log: EventLog,
    /// The loaded replica of `users`.
    pub users: Replica<Users>,
    /// The loaded replica of `groups`.
    pub groups: Replica<Groups>,
    /// The loaded replica of `activity`.
    pub activity: Replica<Activity>,
    /// Known revocations; the users are indexed from the replica.
    pub people: People,
    /// The first sequence of the feed.
    pub feed_start: u64,
    /// Ends the streams.
    pub shutdown: CancellationToken,
}

/// Holds the current replica of a projection, which a new generation replaces.
pub struct ReplicaSlot<P: Projection>(RwLock<Replica<P>>);

impl<P: Projection + Clone> ReplicaSlot<P> {
    fn new(replica: Replica<P>) -> Self {
        Self(RwLock::new(replica))
    }

    fn get(&self) -> Replica<P> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A projection that this process replicates.
pub trait ReplicatedProjection: Projection + Clone {
    /// Where its replica is held.
    fn slot(live: &LiveState) -> &ReplicaSlot<Self>;

    /// Called after the replica was replaced.
    fn on_replaced(_: &LiveState) {}
}

impl ReplicatedProjection for Users {
    fn slot(live: &LiveState) -> &ReplicaSlot<Self> {
        &live.users
    }

    fn on_replaced(live: &LiveState) {
        live.people.reindex(&live.users.get());
    }
}

impl ReplicatedProjection for Groups {
    fn slot(live: &LiveState) -> &ReplicaSlot<Self> {
        &live.groups
    }
}

impl ReplicatedProjection for Activity {
    fn slot(live: &LiveState) -> &ReplicaSlot<Self> {
        &live.activity
    }
}

impl From<InitialState> for LiveState {
    fn from(initial: InitialState) -> Self {
        initial.people.reindex(&initial.users);
        metrics::counter!("api_unreadable_events_total").increment(0);
        Self {
            nats: initial.nats,
            log: initial.log,
            users: ReplicaSlot::new(initial.users),
            groups: ReplicaSlot::new(initial.groups),
            activity: ReplicaSlot::new(initial.activity),
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

/// Reads.
impl LiveState {
    /// The connection to NATS.
    pub fn nats(&self) -> &Nats {
        &self.nats
    }

    /// The event log.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// The current replica of a projection.
    pub fn replica<P: ReplicatedProjection>(&self) -> Replica<P> {
        P::slot(self).get()
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
        self.people.rights(&self.users.get(), claims)
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

    /// Returns the sequence after which a client reads. Every event after it is still kept.
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
            return Err(CursorError::OtherStream);
        }
        if self.feed.covers(cursor.sequence) {
            return Ok(cursor.sequence);
        }
        let bounds = self.log.bounds().await.map_err(CursorError::Unavailable)?;
        if cursor.sequence > bounds.last {
            return Err(CursorError::BeyondEnd);
        }
        if cursor.sequence + 1 < bounds.first {
            return Err(CursorError::Expired);
        }
        Ok(cursor.sequence)
    }

    /// Stores a hint about an unrecorded caller, unless one was stored recently.
    pub async fn request_lookup(&self, sub: &str, hint: &OwnHint) -> Result<(), HintNotStored> {
        self.lookups.request(&self.nats, sub, hint).await
    }

    /// Counts a change by this caller. An error is the time after which the caller may change something again.
    pub fn check_rate_limit(&self, sub: &str) -> Result<(), Duration> {
        let mut limiter = self.rate_limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.check(sub, Instant::now())
    }
}

/// Changes.
impl LiveState {
    /// Applies the next log message to the views before it enters the feed, so that a revoked user never receives the
    /// event that revoked them.
    pub fn apply_message(&self, message: &StoredMessage) {
        let _writer = self.lock_writer();
        match message.decode() {
            Ok(event) => self.apply(&event),
            Err(error) => {
                metrics::counter!("api_unreadable_events_total").increment(1);
                tracing::error!("cannot decode event {}; the views skip it: {error}", message.sequence);
                advance(&self.users.get(), message.sequence);
                advance(&self.groups.get(), message.sequence);
                advance(&self.activity.get(), message.sequence);
            }
        }
        self.feed.push(message.sequence, Frame::of(message, self.log.namespace(), self.log.epoch()));
        #[expect(clippy::cast_precision_loss, reason = "no stream comes near 2^52 events")]
        metrics::gauge!("api_feed_sequence").set(message.sequence as f64);
    }

    fn apply(&self, event: &Recorded) {
        let before = self.access_state(event.event.subject);
        apply_to(&self.users.get(), event);
        apply_to(&self.groups.get(), event);
        apply_to(&self.activity.get(), event);
        self.people.apply(event, |group| self.group_name(group));
        if self.access_state(event.event.subject) != before {
            self.people.notify_changed();
        }
    }

    /// The parts of a user's view that decide about access.
    fn access_state(&self, entity: Entity) -> Option<(UserStatus, u64, Option<Uuid>)> {
        let Entity::User(pk) = entity else { return None };
        self.users.get().read(|views| {
            let view = views.get(&pk.to_string())?;
            Some((view.status, view.registered_sequence, view.user.as_ref().map(|user| user.uuid)))
        })
    }

    fn group_name(&self, group: GroupId) -> Option<String> {
        let name = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        self.groups.get().read(|views| name(&views.get(&group.to_string())?.group.as_ref()?.name))
    }

    /// Replaces the replica of a projection. Returns false, and changes nothing, if `fresh` is behind the feed.
    pub fn replace_replica<P: ReplicatedProjection>(&self, fresh: &Replica<P>) -> bool {
        let _writer = self.lock_writer();
        if fresh.sequence() < self.feed.head() {
            return false;
        }
        *P::slot(self).0.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        P::on_replaced(self);
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

/// Applies an event to a replica that does not contain it yet.
pub fn apply_to<P: Projection>(replica: &Replica<P>, event: &Recorded) {
    if event.sequence > replica.sequence() {
        replica.apply(event);
    }
}

/// Marks everything up to `sequence` as seen by a replica.
pub fn advance<P: Projection>(replica: &Replica<P>, sequence: u64) {
    if sequence > replica.sequence() {
        replica.advance(sequence);
    }
}
