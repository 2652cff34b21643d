//! The state, and the rows that change it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::delivery::{Deliveries, Delivery, Status};
use super::event::Event;
use super::group::Group;
use super::session::{Code, RefreshToken, Session, StoredKey};
use super::user::User;
use crate::clock::Timestamp;

/// One change of the state, and one line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// Deletes everything except the signing key. Only journals of older versions contain it.
    Reset,
    /// The counters that the other rows of a compacted journal do not contain.
    Counters {
        /// The highest key that any user ever had.
        last_pk: i64,
        /// The number of delivered webhooks.
        delivered: u64,
        /// The number of rejected webhooks. Journals of older versions have a row for each instead.
        #[serde(default)]
        rejected: u64,
        /// The number of dropped webhooks.
        dropped: u64,
    },
    /// A new or changed user.
    User(User),
    /// The key of a deleted user.
    UserGone(i64),
    /// A new or changed group.
    Group(Group),
    /// The key of a deleted group.
    GroupGone(Uuid),
    /// A new event.
    Event(Event),
    /// The key of a deleted event.
    EventGone(Uuid),
    /// A new or changed delivery.
    Delivery(Delivery),
    /// A new browser session.
    Session(Session),
    /// The id of an ended browser session.
    SessionGone(String),
    /// A new or changed refresh token.
    RefreshToken(RefreshToken),
    /// The signing key. The last row counts.
    Key(StoredKey),
}

/// The state, with indexes.
#[derive(Default)]
pub struct Store {
    /// The users by key.
    pub users: BTreeMap<i64, User>,
    /// The groups by key.
    pub groups: BTreeMap<Uuid, Group>,
    /// The events by number, in the order of creation.
    pub events: BTreeMap<u64, Event>,
    /// The webhooks to send.
    pub deliveries: Deliveries,
    /// The browser sessions by the value of their cookie.
    pub sessions: HashMap<String, Session>,
    /// The refresh tokens by their text.
    pub refresh_tokens: HashMap<String, RefreshToken>,
    /// The key that signs tokens.
    pub key: Option<StoredKey>,
    /// The authorization codes. They are not persisted, because they expire after a minute.
    pub codes: HashMap<String, Code>,
    /// The `jti` of revoked access tokens. They are not persisted.
    pub revoked_access_tokens: HashSet<String>,
    members: HashMap<Uuid, BTreeSet<i64>>,
    usernames: HashMap<String, i64>,
    event_numbers: HashMap<Uuid, u64>,
    last_event: u64,
    pub(super) last_pk: i64,
    pub(super) last_created: Option<Timestamp>,
}

impl Store {
    /// Applies one row.
    pub fn apply(&mut self, row: Row) {
        match row {
            Row::Reset => *self = Self { key: self.key.take(), ..Self::default() },
            Row::Counters { last_pk, delivered, rejected, dropped } => {
                self.last_pk = self.last_pk.max(last_pk);
                self.deliveries.set_counts(delivered, rejected, dropped);
            }
            Row::User(user) => self.put_user(user),
            Row::UserGone(pk) => self.delete_user(pk),
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
            Row::Key(key) => self.key = Some(key),
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

    fn delete_user(&mut self, pk: i64) {
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
        self.last_created = self.last_created.max(Some(event.created));
        self.event_numbers.insert(event.pk, self.last_event);
        self.events.insert(self.last_event, event);
    }

    /// The user with exactly this username.
    pub fn user_named(&self, username: &str) -> Option<&User> {
        self.usernames.get(username).and_then(|pk| self.users.get(pk))
    }

    /// The group with exactly this name.
    pub fn group_named(&self, name: &str) -> Option<&Group> {
        self.groups.values().find(|group| group.name == name)
    }

    /// The event with this key.
    pub fn event(&self, pk: Uuid) -> Option<&Event> {
        self.event_numbers.get(&pk).and_then(|number| self.events.get(number))
    }

    /// The keys of the direct members of a group.
    pub fn members(&self, group: Uuid) -> impl Iterator<Item = i64> {
        self.members.get(&group).into_iter().flatten().copied()
    }

    /// The direct groups of a user, sorted by name.
    pub fn groups_of(&self, user: &User) -> Vec<&Group> {
        let mut groups: Vec<&Group> = user.groups.iter().filter_map(|pk| self.groups.get(pk)).collect();
        groups.sort_by(|left, right| left.name.cmp(&right.name));
        groups
    }

    /// Whether a group of the user, or one of its ancestors, makes its members administrators.
    pub fn is_superuser(&self, user: &User) -> bool {
        let mut visited = BTreeSet::new();
        let mut pending: Vec<Uuid> = user.groups.iter().copied().collect();
        while let Some(pk) = pending.pop() {
            if let Some(group) = self.groups.get(&pk).filter(|_| visited.insert(pk)) {
                if group.is_superuser {
                    return true;
                }
                pending.extend(&group.parents);
            }
        }
        false
    }

    /// The rows that reproduce the persisted part of the state.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let counters = Row::Counters {
            last_pk: self.last_pk,
            delivered: self.deliveries.count(Status::Delivered),
            rejected: self.deliveries.count(Status::Rejected),
            dropped: self.deliveries.count(Status::Dropped),
        };
        std::iter::once(counters)
            .chain(self.key.iter().cloned().map(Row::Key))
            .chain(self.groups.values().cloned().map(Row::Group))
            .chain(self.users.values().cloned().map(Row::User))
            .chain(self.events.values().cloned().map(Row::Event))
            .chain(self.deliveries.pending().copied().map(Row::Delivery))
            .chain(self.sessions.values().cloned().map(Row::Session))
            .chain(self.refresh_tokens.values().cloned().map(Row::RefreshToken))
    }
}
