//! Identifies the owner of a token, and derives their rights from the recorded users.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use domain::event::{EventBody, Recorded, StateAfter};
use domain::key::{Entity, GroupId, UserPk};
use domain::snapshot::User;
use domain::view::users::{UserStatus, UserView, Users};
use store::replica::Replica;
use tokio::sync::watch;
use uuid::Uuid;

use crate::feed::Filter;
use crate::token::Claims;

/// The rights of a token's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The owner's own user, if it is recorded.
    pub own: Option<OwnUser>,
    /// Whether the owner may read everything.
    pub is_admin: bool,
}

/// The recorded user of a token's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnUser {
    pub pk: UserPk,
    /// Sequence of the last registration. The owner may not read older events: they can be about a former user.
    pub registered_sequence: u64,
}

/// The events that a caller may read of a requested filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedEvents {
    /// The requested filter, narrowed to the caller's rights.
    pub filter: Filter,
    /// Only events after this sequence may be read.
    pub after: u64,
}

/// The caller may not read the requested events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only admins may read about other users")]
pub struct Forbidden;

impl Rights {
    /// Narrows a filter to what the caller may read. Returns `None` while the caller is not recorded.
    pub fn narrow(&self, filter: Filter) -> Result<Option<AllowedEvents>, Forbidden> {
        if self.is_admin {
            return Ok(Some(AllowedEvents { filter, after: 0 }));
        }
        let entity = self.own.map(|own| Entity::User(own.pk));
        if filter.entity.is_some() && filter.entity != entity {
            return Err(Forbidden);
        }
        Ok(self.own.map(|own| AllowedEvents {
            filter: Filter { entity, ..filter },
            after: own.registered_sequence.saturating_sub(1),
        }))
    }
}

/// The token's owner has lost all access, for this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked(pub &'static str);

/// Finds users by the ids in tokens, and remembers who left an admin group.
pub struct People {
    index: RwLock<Index>,
    admin_groups: Vec<String>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Index {
    by_uuid: HashMap<Uuid, UserPk>,
    by_uid: HashMap<String, UserPk>,
    pks: BTreeSet<UserPk>,
    /// When a user was last recorded to leave an admin group, in seconds by the stream's clock.
    departures: HashMap<(UserPk, String), i64>,
    /// Earlier departures are unknown. In seconds by the stream's clock.
    departures_known_since: i64,
    /// When a user whose ids are unknown was last erased, in seconds by the stream's clock.
    last_unknown_erasure: Option<i64>,
}

impl People {
    /// Starts without users. Members of the given groups are admins.
    pub fn new(admin_groups: Vec<String>) -> Self {
        Self { index: RwLock::default(), admin_groups, changes: watch::Sender::new(0) }
    }

    /// A receiver that changes when anybody's rights may have changed.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Wakes all subscribers, so that they check rights again.
    pub fn notify_changed(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    /// Up to `limit` primary keys above the given one, in ascending order.
    pub fn pks_after(&self, pk: Option<UserPk>, limit: usize) -> Vec<UserPk> {
        let from = pk.map_or(UserPk::MIN, |pk| pk.saturating_add(1));
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.pks.range(from..).take(limit).copied().collect()
    }

    /// Sets since when all departures from admin groups are known, in seconds by the stream's clock.
    pub fn set_departures_known_since(&self, seconds: i64) {
        self.index.write().unwrap_or_else(PoisonError::into_inner).departures_known_since = seconds;
    }

    /// Records the erasure of a user whose ids are unknown, in seconds by the stream's clock.
    pub fn record_unknown_erasure(&self, seconds: i64) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.last_unknown_erasure = index.last_unknown_erasure.max(Some(seconds));
    }

    /// Rebuilds the index from a loaded replica.
    pub fn reindex(&self, users: &Replica<Users>) {
        let mut fresh = Index::default();
        users.read(|views| {
            for (_, view) in views.iter() {
                fresh.pks.insert(view.pk);
                view.user.iter().for_each(|user| fresh.add(view.pk, user, view.present().is_some()));
            }
        });
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        // Other known ids stay: the view of an erased user has no ids, and the user's token must be refused.
        index.by_uuid.extend(fresh.by_uuid);
        index.by_uid.extend(fresh.by_uid);
        index.pks = fresh.pks;
        drop(index);
        self.notify_changed();
    }

    /// Applies an event. `name_of` returns the name of a group if the event does not contain it.
    pub fn apply(&self, event: &Recorded, name_of: impl Fn(GroupId) -> Option<String>) {
        let Entity::User(pk) = event.event.subject else { return };
        self.record_departure(event, name_of);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.pks.insert(pk);
        match event.event.body.after() {
            StateAfter::User(user) => index.add(pk, user, true),
            StateAfter::UserGone(user) => index.add(pk, user, false),
            StateAfter::UserErased | StateAfter::Group(_) | StateAfter::GroupGone(_) => {}
        }
    }

    /// Records that a user left an admin group. Ignores other events.
    pub fn record_departure(&self, event: &Recorded, name_of: impl Fn(GroupId) -> Option<String>) {
        let Entity::User(pk) = event.event.subject else { return };
        let EventBody::UserLeftGroup(data) = &event.event.body else { return };
        let given = Some(data.group.name.clone()).filter(|name| !name.is_empty());
        let name = given.or_else(|| name_of(data.group.uuid)).filter(|name| self.admin_groups.contains(name));
        if let Some(name) = name {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            let departure = index.departures.entry((pk, name)).or_default();
            *departure = (*departure).max(event.stored.unix_seconds());
            drop(index);
            self.notify_changed();
        }
    }

    /// The current rights of the token's owner.
    pub fn rights(&self, users: &Replica<Users>, claims: &Claims) -> Result<Rights, Revoked> {
        let (pk, last_unknown_erasure) = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let pk = match claims.uuid() {
                Some(uuid) => index.by_uuid.get(&uuid).copied(),
                None => index.by_uid.get(&claims.sub).copied(),
            };
            (pk, index.last_unknown_erasure)
        };
        let Some(pk) = pk else {
            // The owner may be the erased user. A new user gets in with a token from after the erasure.
            if last_unknown_erasure.is_some_and(|erased| claims.iat <= erased) {
                return Err(Revoked("the user is deleted"));
            }
            return Ok(Rights { own: None, is_admin: self.is_admin(claims, None) });
        };
        users.read(|views| match views.get(&pk.to_string()) {
            Some(view) => self.rights_of(view, claims),
            None => Ok(Rights { own: None, is_admin: self.is_admin(claims, None) }),
        })
    }

    fn rights_of(&self, view: &UserView, claims: &Claims) -> Result<Rights, Revoked> {
        match view.status {
            UserStatus::Active => {}
            UserStatus::Inactive => return Err(Revoked("the user is deactivated")),
            UserStatus::Deleted | UserStatus::Erased => return Err(Revoked("the user is deleted")),
        }
        // A restore of authentik can give the primary key to another user. Then the token's owner is gone.
        let is_same = |user: &User| claims.uuid().map_or(user.uid == claims.sub, |uuid| user.uuid == uuid);
        if !view.user.as_ref().is_some_and(is_same) {
            return Err(Revoked("the user is deleted"));
        }
        let own = Some(OwnUser { pk: view.pk, registered_sequence: view.registered_sequence });
        Ok(Rights { own, is_admin: self.is_admin(claims, Some(view)) })
    }

    /// The token's groups grant admin rights. Recorded events can only revoke them.
    fn is_admin(&self, claims: &Claims, view: Option<&UserView>) -> bool {
        let recorded = view.and_then(|view| view.user.as_ref());
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        claims.groups.iter().filter(|name| self.admin_groups.contains(name)).any(|name| {
            let is_member = recorded.is_some_and(|user| {
                user.groups.iter().any(|group| user.group_names.get(group) == Some(name))
            });
            let left_at = view.and_then(|view| index.departures.get(&(view.pk, name.clone())));
            // Both times are whole seconds. If they are equal, assume that the departure came after the token.
            let has_left = left_at.is_some_and(|left_at| *left_at >= claims.iat);
            is_member || (!has_left && claims.iat >= index.departures_known_since)
        })
    }
}

impl Index {
    /// Adds a user's ids. A present user takes over an id from a former user.
    fn add(&mut self, pk: UserPk, user: &User, is_present: bool) {
        if !user.uuid.is_nil() {
            let known = self.by_uuid.entry(user.uuid).or_insert(pk);
            if is_present {
                *known = pk;
            }
        }
        if !user.uid.is_empty() {
            let known = self.by_uid.entry(user.uid.clone()).or_insert(pk);
            if is_present {
                *known = pk;
            }
        }
    }
}
