//! Changes of groups, and the events that authentik makes of them.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::group::Group;
use super::user::User;
use super::{Row, Tx};
use crate::clock;
use crate::json::{Json, object};

/// The fields of a group that change; the others stay.
#[derive(Clone, Debug, Default)]
pub struct GroupPatch {
    /// The unique name.
    pub name: Option<String>,
    /// Makes members administrators.
    pub is_superuser: Option<bool>,
    /// The groups above.
    pub parents: Option<Vec<Uuid>>,
    /// Free data.
    pub attributes: Option<Json>,
    /// All direct members.
    pub users: Option<BTreeSet<i64>>,
}

/// What a member of a group does.
#[derive(Clone, Copy)]
pub enum Member {
    /// Is in it from now on.
    Joins,
    /// Is not in it any more.
    Leaves,
}

impl Tx<'_> {
    /// Makes a group.
    pub fn create_group(&mut self, patch: GroupPatch) -> Group {
        let group = Group {
            pk: clock::new_uuid(),
            name: patch.name.unwrap_or_default(),
            is_superuser: patch.is_superuser.unwrap_or_default(),
            parents: patch.parents.unwrap_or_default(),
            attributes: patch.attributes.unwrap_or_else(|| object([])).jsonb(),
            roles: vec![],
        };
        self.put(Row::Group(group.clone()));
        self.model_event("model_created", group.as_model());
        if let Some(users) = patch.users.filter(|users| !users.is_empty()) {
            self.set_members(&group, &users);
        }
        group
    }

    /// Changes a group: one event for the save and one for each of parents and members.
    pub fn update_group(&mut self, group: &mut Group, patch: GroupPatch) {
        group.name = patch.name.unwrap_or_else(|| group.name.clone());
        group.is_superuser = patch.is_superuser.unwrap_or(group.is_superuser);
        if let Some(attributes) = patch.attributes {
            group.attributes = attributes.jsonb();
        }
        let has_new_parents = patch.parents.as_ref().is_some_and(|parents| *parents != group.parents);
        group.parents = patch.parents.unwrap_or_else(|| group.parents.clone());
        self.save_group(group);
        if has_new_parents {
            self.model_event("model_updated", group.as_model());
        }
        if let Some(users) = patch.users {
            self.set_members(group, &users);
        }
    }

    fn set_members(&mut self, group: &Group, users: &BTreeSet<i64>) {
        let before: BTreeSet<i64> = self.store().members(group.pk).collect();
        for pk in users.difference(&before) {
            self.join(*pk, group.pk);
        }
        for pk in before.difference(users) {
            self.leave(*pk, group.pk);
        }
        if before != *users {
            self.model_event("model_updated", group.as_model());
        }
    }

    fn save_group(&mut self, group: &Group) {
        self.put(Row::Group(group.clone()));
        self.model_event("model_updated", group.as_model());
    }

    /// Deletes a group. Nothing is said about its members, nor about the groups below it.
    pub fn delete_group(&mut self, group: &Group) {
        self.model_event("model_deleted", group.as_model());
        let members: Vec<i64> = self.store().members(group.pk).collect();
        for pk in members {
            self.leave(pk, group.pk);
        }
        let is_below = |child: &&Group| child.parents.contains(&group.pk);
        let below: Vec<Group> = self.store().groups.values().filter(is_below).cloned().collect();
        for mut child in below {
            child.parents.retain(|parent| *parent != group.pk);
            self.put(Row::Group(child));
        }
        self.put(Row::GroupGone(group.pk));
    }

    /// `add_user` and `remove_user` of a group: the event does not say which user.
    pub fn move_member(&mut self, group: &Group, user: &User, member: Member) {
        self.model_event("model_updated", group.as_model());
        match member {
            Member::Joins => self.join(user.pk, group.pk),
            Member::Leaves => self.leave(user.pk, group.pk),
        }
    }

    /// A row of the membership table is no save of the user: `last_updated` stays.
    fn join(&mut self, user: i64, group: Uuid) {
        if let Some(mut user) = self.store().users.get(&user).cloned() {
            user.groups.insert(group);
            self.put(Row::User(user));
        }
    }

    fn leave(&mut self, user: i64, group: Uuid) {
        if let Some(mut user) = self.store().users.get(&user).cloned() {
            user.groups.remove(&group);
            self.put(Row::User(user));
        }
    }
}
