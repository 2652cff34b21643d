//! Everything the simulator remembers.
//!
//! State changes only by [`Row`]s: a transaction ([`Tx`]) puts rows, each is applied to the store and
//! written to the journal, and a restart applies them again.

pub mod delivery;
pub mod event;
pub mod group;
pub mod group_changes;
pub mod session;
pub mod tx;
pub mod user;
pub mod user_changes;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::delivery::{Deliveries, Delivery, Status};
use self::event::Event;
use self::group::Group;
use self::session::{Code, RefreshToken, Session, StoredKey};
use self::user::User;
use crate::clock::Timestamp;

pub use self::tx::Tx;

/// One change of the state, and one line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// Forget everything but the signing keys.
    Reset,
    /// Counters that the other rows of a compacted journal do not give.
    Counters {
        /// The highest user key ever given.
        last_pk: i64,
        /// Deliveries made.
        delivered: u64,
        /// Deliveries lost.
        dropped: u64,
    },
    /// A user, new or changed.
    User(User),
    /// A user is gone.
    UserGone(i64),
    /// A group, new or changed.
    Group(Group),
    /// A group is gone.
    GroupGone(Uuid),
    /// An event.
    Event(Event),
    /// An event is gone.
    EventGone(Uuid),
    /// The state of a delivery.
    Delivery(Delivery),
    /// A browser has logged in.
    Session(Session),
    /// A browser has logged out.
    SessionGone(String),
    /// A refresh token, new or changed.
    RefreshToken(RefreshToken),
    /// A signing key; the last one signs.
    Key(StoredKey),
}

/// The state.
#[derive(Default)]
pub struct Store {
    /// By key.
    pub users: BTreeMap<i64, User>,
    /// By key.
    pub groups: BTreeMap<Uuid, Group>,
    /// By number, which is the order of creation.
    pub events: BTreeMap<u64, Event>,
    /// Webhooks to send.
    pub deliveries: Deliveries,
    /// By the value of the cookie.
    pub sessions: HashMap<String, Session>,
    /// By token.
    pub refresh_tokens: HashMap<String, RefreshToken>,
    /// Every signing key so far; the last one signs.
    pub keys: Vec<StoredKey>,
    /// Authorization codes; a restart forgets them, as their minute would be over.
    pub codes: HashMap<String, Code>,
    /// `jti` of revoked access tokens; a restart forgets them.
    pub revoked: HashSet<String>,
    /// Whom the administrator impersonates; a restart forgets it.
    pub impersonated: Option<i64>,
    members: HashMap<Uuid, BTreeSet<i64>>,
    usernames: HashMap<String, i64>,
    event_numbers: HashMap<Uuid, u64>,
    last_event: u64,
    last_pk: i64,
    last_moment: Option<Timestamp>,
}

impl Store {
    /// Changes the state by one row.
    pub fn apply(&mut self, row: Row) {
        match row {
            Row::Reset => *self = Self { keys: std::mem::take(&mut self.keys), ..Self::default() },
            Row::Counters { last_pk, delivered, dropped } => {
                self.last_pk = self.last_pk.max(last_pk);
                self.deliveries.set_counts(delivered, dropped);
            }
            Row::User(user) => self.put_user(user),
            Row::UserGone(pk) => self.drop_user(pk),
            Row::Group(group) => {
                self.groups.insert(group.pk, group);
            }
            Row::GroupGone(pk) => {
                self.groups.remove(&pk);
                self.members.remove(&pk);
            }
            Row::Event(event) => self.put_event(event),
            Row::EventGone(pk) => {
                if let Some(number) = self.event_numbers.remove(&pk) {
                    self.events.remove(&number);
                }
            }
            Row::Delivery(delivery) => self.deliveries.apply(delivery),
            Row::Session(session) => {
                self.sessions.insert(session.id.clone(), session);
            }
            Row::SessionGone(id) => {
                self.sessions.remove(&id);
            }
            Row::RefreshToken(token) => {
                self.refresh_tokens.insert(token.token.clone(), token);
            }
            Row::Key(key) => self.keys.push(key),
        }
    }

    fn put_user(&mut self, user: User) {
        self.last_pk = self.last_pk.max(user.pk);
        if let Some(before) = self.users.get(&user.pk) {
            for group in before.groups.difference(&user.groups) {
                self.members.entry(*group).or_default().remove(&user.pk);
            }
            if before.username != user.username {
                self.usernames.remove(&before.username);
            }
        }
        for group in &user.groups {
            self.members.entry(*group).or_default().insert(user.pk);
        }
        self.usernames.insert(user.username.clone(), user.pk);
        self.users.insert(user.pk, user);
    }

    fn drop_user(&mut self, pk: i64) {
        self.last_pk = self.last_pk.max(pk);
        let Some(user) = self.users.remove(&pk) else { return };
        for group in &user.groups {
            self.members.entry(*group).or_default().remove(&pk);
        }
        self.usernames.remove(&user.username);
        self.sessions.retain(|_, session| session.user != pk);
        self.refresh_tokens.retain(|_, token| token.grant.user != pk);
    }

    fn put_event(&mut self, event: Event) {
        self.last_event += 1;
        self.last_moment = self.last_moment.max(Some(event.created));
        self.event_numbers.insert(event.pk, self.last_event);
        self.events.insert(self.last_event, event);
    }

    /// The user of this name, exactly.
    pub fn user_named(&self, username: &str) -> Option<&User> {
        self.usernames.get(username).and_then(|pk| self.users.get(pk))
    }

    /// The group of this name, exactly.
    pub fn group_named(&self, name: &str) -> Option<&Group> {
        self.groups.values().find(|group| group.name == name)
    }

    /// The event of this key.
    pub fn event(&self, pk: Uuid) -> Option<&Event> {
        self.event_numbers.get(&pk).and_then(|number| self.events.get(number))
    }

    /// The direct members of a group, by key.
    pub fn members(&self, group: Uuid) -> impl Iterator<Item = i64> {
        self.members.get(&group).into_iter().flatten().copied()
    }

    /// The direct groups of a user, by name.
    pub fn groups_of(&self, user: &User) -> Vec<&Group> {
        let mut groups: Vec<&Group> = user.groups.iter().filter_map(|pk| self.groups.get(pk)).collect();
        groups.sort_by(|left, right| left.name.cmp(&right.name));
        groups
    }

    /// Whether a group of the user, or one above it, makes administrators.
    pub fn is_superuser(&self, user: &User) -> bool {
        let mut seen = BTreeSet::new();
        let mut waiting: Vec<Uuid> = user.groups.iter().copied().collect();
        while let Some(pk) = waiting.pop() {
            if let Some(group) = self.groups.get(&pk).filter(|_| seen.insert(pk)) {
                if group.is_superuser {
                    return true;
                }
                waiting.extend(&group.parents);
            }
        }
        false
    }

    /// The whole state, as the rows that make it again.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let counters = Row::Counters {
            last_pk: self.last_pk,
            delivered: self.deliveries.count(Status::Delivered),
            dropped: self.deliveries.count(Status::Dropped),
        };
        std::iter::once(counters)
            .chain(self.keys.iter().cloned().map(Row::Key))
            .chain(self.groups.values().cloned().map(Row::Group))
            .chain(self.users.values().cloned().map(Row::User))
            .chain(self.events.values().cloned().map(Row::Event))
            .chain(self.deliveries.open().copied().map(Row::Delivery))
            .chain(self.sessions.values().cloned().map(Row::Session))
            .chain(self.refresh_tokens.values().cloned().map(Row::RefreshToken))
    }
}
