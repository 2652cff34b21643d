//! What is known now: copies of the projections, the feed, and who may what, moved on by each event.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use domain::event::Recorded;
use domain::key::{Entity, GroupId};
use domain::view::Projection;
use domain::view::activity::Activity;
use domain::view::groups::Groups;
use domain::view::users::{UserStatus, Users};
use runtime::CancellationToken;
use runtime::nats::Nats;
use store::log::{EventLog, StoredMessage};
use store::replica::Replica;
use uuid::Uuid;

use crate::cursor::Cursor;
use crate::feed::{Feed, Filter, Frame};
use crate::hints::Hints;
use crate::limits::Limits;
use crate::people::People;

/// Everything that the routes read.
pub struct Live {
    /// The connection.
    pub nats: Nats,
    /// The log of events.
    pub log: EventLog,
    /// Current state of the users.
    pub users: Slot<Users>,
    /// Current state of the groups.
    pub groups: Slot<Groups>,
    /// Events a day.
    pub activity: Slot<Activity>,
    /// The newest events.
    pub feed: Feed,
    /// Who may what.
    pub people: People,
    /// Questions to the projector.
    pub hints: Hints,
    /// How often each caller may change something.
    pub limits: Mutex<Limits>,
    /// Ends the streams.
    pub shutdown: CancellationToken,
    stale: AtomicBool,
    applying: Mutex<()>,
}

/// A place for a copy of a projection, which can be exchanged as a whole.
pub struct Slot<P: Projection>(RwLock<Replica<P>>);

impl<P: Projection + Clone> Slot<P> {
    /// The copy that is used now.
    pub fn get(&self) -> Replica<P> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, replica: Replica<P>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = replica;
    }
}

impl<P: Projection> From<Replica<P>> for Slot<P> {
    fn from(replica: Replica<P>) -> Self {
        Self(RwLock::new(replica))
    }
}

/// The projections that are kept here, each with its place.
pub trait Kept: Projection + Clone {
    /// Where the copy is.
    fn slot(live: &Live) -> &Slot<Self>;

    /// After another copy took its place.
    fn exchanged(_: &Live) {}
}

impl Kept for Users {
    fn slot(live: &Live) -> &Slot<Self> {
        &live.users
    }

    fn exchanged(live: &Live) {
        live.people.rebuild(&live.users.get());
    }
}

impl Kept for Groups {
    fn slot(live: &Live) -> &Slot<Self> {
        &live.groups
    }
}

impl Kept for Activity {
    fn slot(live: &Live) -> &Slot<Self> {
        &live.activity
    }
}

/// Copies as they were loaded.
pub struct Loaded {
    /// Current state of the users.
    pub users: Replica<Users>,
    /// Current state of the groups.
    pub groups: Replica<Groups>,
    /// Events a day.
    pub activity: Replica<Activity>,
}

impl Live {
    /// Begins with what was loaded; the feed will be filled from the given sequence on.
    pub fn new(
        log: EventLog,
        nats: Nats,
        loaded: Loaded,
        people: People,
        feed_from: u64,
        shutdown: CancellationToken,
    ) -> Self {
        people.rebuild(&loaded.users);
        metrics::counter!("api_unreadable_events_total").increment(0);
        Self {
            nats,
            log,
            users: loaded.users.into(),
            groups: loaded.groups.into(),
            activity: loaded.activity.into(),
            feed: Feed::starting_at(feed_from),
            people,
            hints: Hints::default(),
            limits: Mutex::default(),
            shutdown,
            stale: AtomicBool::new(false),
            applying: Mutex::default(),
        }
    }

    /// Takes in the next message of the log: first into what is known, then into the feed, so that nobody
    /// gets an event that took their rights away.
    pub fn take_in(&self, message: &StoredMessage) {
        let _applying = self.applying();
        match message.decode() {
            Ok(event) => self.apply(&event),
            Err(error) => {
                metrics::counter!("api_unreadable_events_total").increment(1);
                tracing::error!(
                    "event {} is unreadable and left out of the views: {error}",
                    message.sequence
                );
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
        let before = self.standing_of(event.event.subject);
        apply_to(&self.users.get(), event);
        apply_to(&self.groups.get(), event);
        apply_to(&self.activity.get(), event);
        self.people.note(event, |group| self.group_name(group));
        if self.standing_of(event.event.subject) != before {
            self.people.changed();
        }
    }

    /// What decides whether somebody may come in.
    fn standing_of(&self, entity: Entity) -> Option<(UserStatus, u64, Option<Uuid>)> {
        let Entity::User(pk) = entity else { return None };
        self.users.get().read(|views| {
            let view = views.get(&pk.to_string())?;
            Some((view.status, view.registered_sequence, view.user.as_ref().map(|user| user.uuid)))
        })
    }

    /// Name of a group, where it is known.
    pub fn group_name(&self, group: GroupId) -> Option<String> {
        let name = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        self.groups.get().read(|views| name(&views.get(&group.to_string())?.group.as_ref()?.name))
    }

    /// Puts a copy in the place of the one that is used, unless that one is ahead of it.
    pub fn exchange<P: Kept>(&self, fresh: &Replica<P>) -> bool {
        let _applying = self.applying();
        if fresh.sequence() < self.feed.head() {
            return false;
        }
        P::slot(self).set(fresh.clone());
        P::exchanged(self);
        true
    }

    fn applying(&self) -> MutexGuard<'_, ()> {
        self.applying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the log could not be read for so long that a revocation may have been missed.
    pub fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Acquire)
    }

    /// Notes whether the log can be read.
    pub fn set_stale(&self, stale: bool) {
        metrics::gauge!("api_stale").set(if stale { 1.0 } else { 0.0 });
        if self.stale.swap(stale, Ordering::AcqRel) != stale {
            self.people.changed();
        }
    }

    /// The place after the event of that sequence, for clients.
    pub fn cursor(&self, sequence: u64) -> String {
        Cursor { epoch: self.log.epoch().to_owned(), sequence }.to_string()
    }

    /// Subject of all events.
    pub fn everything(&self) -> String {
        Filter::default().subject(self.log.namespace())
    }
}

/// Takes an event into a copy, unless it is in it.
pub fn apply_to<P: Projection>(replica: &Replica<P>, event: &Recorded) {
    if event.sequence > replica.sequence() {
        replica.apply(event);
    }
}

/// Notes that a copy has seen everything up to `sequence`.
pub fn advance<P: Projection>(replica: &Replica<P>, sequence: u64) {
    if sequence > replica.sequence() {
        replica.advance(sequence);
    }
}
