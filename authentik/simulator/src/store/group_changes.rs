//! Changes of groups, and the events that authentik makes for them.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::group::Group;
use super::state::Row;
use super::tx::Tx;
use super::user::User;
use crate::clock;
use crate::json::{Json, object};

/// The fields of a group that a change sets. Fields with `None` keep their value.
#[derive(Clone, Debug, Default)]
pub struct GroupPatch {
    pub name: Option<String>,
    pub is_superuser: Option<bool>,
    pub parents: Option<Vec<Uuid>>,
    pub attributes: Option<Json>,
    /// All direct members.
    pub users: Option<BTreeSet<i64>>,
}

/// A change of one membership.
#[derive(Clone, Copy)]
pub enum MembershipChange {
    /// The user joins the group.
    Add,
    /// The user leaves the group.
    Remove,
}

impl Tx<'_> {
    /// Creates a group.
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

    /// Changes a group. Makes one event for the save, one for new parents, and one for new members.
    pub fn update_group(&mut self, group: &mut Group, patch: GroupPatch) {
        group.name = patch.name.unwrap_or_else(|| group.name.clone());
        group.is_superuser = patch.is_superuser.unwrap_or(group.is_superuser);
        if let Some(attributes) = patch.attributes {
            group.attributes = attributes.jsonb();
        }
        let has_new_parents = patch.parents.as_ref().is_some_and(|parents| *parents != group.parents);
        group.parents = patch.parents.unwrap_or_else(|| group.parents.clone());
        self.put(Row::Group(group.clone()));
        self.model_event("model_updated", group.as_model());
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
            self.put_membership(*pk, group.pk, MembershipChange::Add);
        }
        for pk in before.difference(users) {
            self.put_membership(*pk, group.pk, MembershipChange::Remove);
        }
        if before != *users {
            self.model_event("model_updated", group.as_model());
        }
    }

    /// Deletes a group. authentik makes no events about its members or its child groups.
    pub fn delete_group(&mut self, group: &Group) {
        self.model_event("model_deleted", group.as_model());
        let members: Vec<i64> = self.store().members(group.pk).collect();
        for pk in members {
            self.put_membership(pk, group.pk, MembershipChange::Remove);
        }
        let is_child = |child: &&Group| child.parents.contains(&group.pk);
        let children: Vec<Group> = self.store().groups.values().filter(is_child).cloned().collect();
        for mut child in children {
            child.parents.retain(|parent| *parent != group.pk);
            self.put(Row::Group(child));
        }
        self.put(Row::GroupGone(group.pk));
    }

    /// `add_user` and `remove_user` of a group. The event does not name the user.
    pub fn change_membership(&mut self, group: &Group, user: &User, change: MembershipChange) {
        self.model_event("model_updated", group.as_model());
        self.put_membership(user.pk, group.pk, change);
    }

    /// Keeps `last_updated`, because authentik changes only a row of the membership table and does not save
    /// the user.
    fn put_membership(&mut self, user: i64, group: Uuid, change: MembershipChange) {
        if let Some(mut user) = self.store().users.get(&user).cloned() {
            match change {
                MembershipChange::Add => user.groups.insert(group),
                MembershipChange::Remove => user.groups.remove(&group),
            };
            self.put(Row::User(user));
        }
    }
}
