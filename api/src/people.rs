//! Who a token's owner is, and what they may: found in memory, by what was recorded so far.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use domain::event::{EventBody, Recorded, StateAfter};
use domain::key::{Entity, GroupId, UserPk};
use domain::snapshot::User;
use domain::view::users::{UserStatus, UserView, Users};
use store::replica::Replica;
use tokio::sync::watch;
use uuid::Uuid;

use crate::token::Claims;

/// What the owner of a token may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The owner, where they are recorded already.
    pub own: Option<Own>,
    /// Whether they may read everything.
    pub is_admin: bool,
}

/// A user as the owner of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Their primary key.
    pub pk: UserPk,
    /// Where their own history begins: the sequence of their last registration.
    pub since: u64,
}

/// The owner of the token may nothing any more, for this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked(pub &'static str);

/// Finds users by the ids that tokens carry, and remembers who lost an admin group.
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
    /// When a user was last recorded to have left an admin group, in seconds by the stream's clock.
    left: HashMap<(UserPk, String), i64>,
    /// Who left an admin group earlier is not remembered.
    remembers_from: i64,
    /// When a user was last erased of whom nothing is known but that.
    erased: Option<i64>,
}

impl People {
    /// Knows nobody yet. Members of the given groups are admins.
    pub fn new(admin_groups: Vec<String>) -> Self {
        Self { index: RwLock::default(), admin_groups, changes: watch::Sender::new(0) }
    }

    /// Wakes up when what somebody may can have changed.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Makes all who wait look again.
    pub fn changed(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    /// Up to `limit` primary keys after the given one, in their order.
    pub fn pks_after(&self, pk: Option<UserPk>, limit: usize) -> Vec<UserPk> {
        let from = pk.map_or(UserPk::MIN, |pk| pk.saturating_add(1));
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.pks.range(from..).take(limit).copied().collect()
    }

    /// From when on departures from admin groups are all noted, in seconds.
    pub fn remember_from(&self, seconds: i64) {
        self.index.write().unwrap_or_else(PoisonError::into_inner).remembers_from = seconds;
    }

    /// Takes in that somebody was erased, in seconds by the stream's clock, before their ids could be heard of.
    pub fn note_unnamed_erasure(&self, seconds: i64) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.erased = index.erased.max(Some(seconds));
    }

    /// Begins again with the users of a copy that was loaded.
    pub fn rebuild(&self, users: &Replica<Users>) {
        let mut fresh = Index::default();
        users.read(|views| {
            for (_, view) in views.iter() {
                fresh.pks.insert(view.pk);
                view.user.iter().for_each(|user| fresh.add(view.pk, user, view.present().is_some()));
            }
        });
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        // An erased user has no uuid in the view, and must still be found to be gone.
        for (uuid, pk) in &index.by_uuid {
            fresh.by_uuid.entry(*uuid).or_insert(*pk);
        }
        for (uid, pk) in &index.by_uid {
            fresh.by_uid.entry(uid.clone()).or_insert(*pk);
        }
        fresh.left = std::mem::take(&mut index.left);
        fresh.remembers_from = index.remembers_from;
        fresh.erased = index.erased;
        *index = fresh;
        drop(index);
        self.changed();
    }

    /// Takes in an event. `name_of` gives the name of a group where the event does not.
    pub fn note(&self, event: &Recorded, name_of: impl Fn(GroupId) -> Option<String>) {
        let Entity::User(pk) = event.event.subject else { return };
        self.note_departure(pk, event, name_of);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.pks.insert(pk);
        match event.event.body.after() {
            StateAfter::User(user) => index.add(pk, user, true),
            StateAfter::UserGone(user) => index.add(pk, user, false),
            StateAfter::UserErased | StateAfter::Group(_) | StateAfter::GroupGone(_) => {}
        }
    }

    /// Takes in that a user left a group, if it is an admin group.
    pub fn note_departure(&self, pk: UserPk, event: &Recorded, name_of: impl Fn(GroupId) -> Option<String>) {
        let EventBody::UserLeftGroup(data) = &event.event.body else { return };
        let given = Some(data.group.name.clone()).filter(|name| !name.is_empty());
        let name = given.or_else(|| name_of(data.group.uuid)).filter(|name| self.admin_groups.contains(name));
        if let Some(name) = name {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            let left = index.left.entry((pk, name)).or_default();
            *left = (*left).max(event.stored.unix_seconds());
            drop(index);
            self.changed();
        }
    }

    /// What the owner of the token may now.
    pub fn rights(&self, users: &Replica<Users>, claims: &Claims) -> Result<Rights, Revoked> {
        let (pk, erased) = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let pk = match claims.uuid() {
                Some(uuid) => index.by_uuid.get(&uuid).copied(),
                None => index.by_uid.get(&claims.sub).copied(),
            };
            (pk, index.erased)
        };
        let Some(pk) = pk else {
            // They may be who was erased. Somebody new gets in with their next token.
            if erased.is_some_and(|erased| claims.iat <= erased) {
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
        // After a restore of authentik the key can be somebody else's: the one who had it is gone.
        let is_same = |user: &User| claims.uuid().map_or(user.uid == claims.sub, |uuid| user.uuid == uuid);
        if !view.user.as_ref().is_some_and(is_same) {
            return Err(Revoked("the user is deleted"));
        }
        let own = Some(Own { pk: view.pk, since: view.registered_sequence });
        Ok(Rights { own, is_admin: self.is_admin(claims, Some(view)) })
    }

    /// The token says who is an admin; what was recorded since can only take it away.
    fn is_admin(&self, claims: &Claims, view: Option<&UserView>) -> bool {
        let recorded = view.and_then(|view| view.user.as_ref());
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        claims.groups.iter().filter(|name| self.admin_groups.contains(name)).any(|name| {
            let is_member = recorded.is_some_and(|user| {
                user.groups.iter().any(|group| user.group_names.get(group) == Some(name))
            });
            let left = view.and_then(|view| index.left.get(&(view.pk, name.clone())));
            // Within the same second the departure counts: which came first cannot be known.
            let has_left = left.is_some_and(|left| *left >= claims.iat);
            is_member || (!has_left && claims.iat >= index.remembers_from)
        })
    }
}

impl Index {
    /// A user who is there wins over one who is gone and had the same id.
    fn add(&mut self, pk: UserPk, user: &User, is_present: bool) {
        if !user.uuid.is_nil() {
            let known = self.by_uuid.entry(user.uuid).or_insert(pk);
            if is_present {
                *known = pk;
            }
        }
        if !user.uid.is_empty() {
            if let Some(known) = self.by_uid.get_mut(&user.uid) {
                if is_present {
                    *known = pk;
                }
            } else {
                self.by_uid.insert(user.uid.clone(), pk);
            }
        }
    }
}
