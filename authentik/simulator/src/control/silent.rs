//! Changes that make no events, like those of a directory sync in authentik's worker.

use poem::Response;
use poem::http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use crate::call;
use crate::json::{Json, object};
use crate::rest::{group_response, user_response};
use crate::store::group::Group;
use crate::store::group_changes::{GroupPatch, MembershipChange};
use crate::store::user::User;
use crate::store::user_changes::UserPatch;
use crate::store::{Store, Tx};
use crate::world::World;

/// A change. `pk` is the key of a user; `group` and `groups` are keys or names of groups.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// The username is also the display name.
    CreateUser {
        username: String,
        attributes: Option<Json>,
    },
    /// Creates this number of users, named `<prefix>0`, `<prefix>1` and so on. The default prefix is `user-`.
    CreateUsers {
        count: u32,
        prefix: Option<String>,
        groups: Option<Vec<String>>,
    },
    /// Changes the given fields.
    UpdateUser {
        pk: i64,
        name: Option<String>,
        is_active: Option<bool>,
    },
    DeleteUser {
        pk: i64,
    },
    CreateGroup {
        name: String,
    },
    UpdateGroup {
        group: String,
        name: String,
    },
    DeleteGroup {
        group: String,
    },
    AddToGroup {
        pk: i64,
        group: String,
    },
    RemoveFromGroup {
        pk: i64,
        group: String,
    },
}

/// Applies the change. The response is the user as REST shows it, the group as REST shows it without
/// `users_obj`, the range of created keys, or `{}` after a deletion.
pub fn apply(world: &World, change: Change) -> Result<Response, String> {
    world.write(None, |tx| match change {
        Change::CreateUser { username, attributes } => {
            if tx.store().user_named(&username).is_some() {
                return Err(format!("a user with the username {username} exists already"));
            }
            let name = Some(username.clone());
            let patch = UserPatch { username: Some(username), name, attributes, ..UserPatch::default() };
            let user = tx.create_user(patch);
            Ok(user_response(tx.store(), &user))
        }
        Change::CreateUsers { count, prefix, groups } => {
            let groups: Result<Vec<Uuid>, String> =
                groups.iter().flatten().map(|name| Ok(group(tx.store(), name)?.pk)).collect();
            Ok(create_users(tx, count, prefix.as_deref().unwrap_or("user-"), &groups?))
        }
        Change::UpdateUser { pk, name, is_active } => {
            let mut user = user(tx.store(), pk)?;
            tx.update_user(&mut user, UserPatch { name, is_active, ..UserPatch::default() });
            Ok(user_response(tx.store(), &user))
        }
        Change::DeleteUser { pk } => {
            let user = user(tx.store(), pk)?;
            tx.delete_user(&user);
            Ok(deleted())
        }
        Change::CreateGroup { name } => {
            let group = tx.create_group(GroupPatch { name: Some(name), ..GroupPatch::default() });
            Ok(group_response(tx.store(), &group))
        }
        Change::UpdateGroup { group: key, name } => {
            let mut group = group(tx.store(), &key)?;
            tx.update_group(&mut group, GroupPatch { name: Some(name), ..GroupPatch::default() });
            Ok(group_response(tx.store(), &group))
        }
        Change::DeleteGroup { group: key } => {
            let group = group(tx.store(), &key)?;
            tx.delete_group(&group);
            Ok(deleted())
        }
        Change::AddToGroup { pk, group } => change_membership(tx, pk, &group, MembershipChange::Add),
        Change::RemoveFromGroup { pk, group } => change_membership(tx, pk, &group, MembershipChange::Remove),
    })
}

fn create_users(tx: &mut Tx, count: u32, prefix: &str, groups: &[Uuid]) -> Response {
    let first = tx.next_pk();
    for number in 0..count {
        let username = format!("{prefix}{number}");
        if tx.store().user_named(&username).is_none() {
            tx.create_user(UserPatch {
                email: Some(format!("{username}@lab.invalid")),
                name: Some(username.clone()),
                username: Some(username),
                groups: Some(groups.iter().copied().collect()),
                ..UserPatch::default()
            });
        }
    }
    let last = tx.next_pk() - 1;
    call::json(StatusCode::OK, &object([("first_pk", first.into()), ("last_pk", last.into())]))
}

fn change_membership(tx: &mut Tx, pk: i64, key: &str, change: MembershipChange) -> Result<Response, String> {
    let group = group(tx.store(), key)?;
    let user = user(tx.store(), pk)?;
    tx.change_membership(&group, &user, change);
    Ok(group_response(tx.store(), &group))
}

fn deleted() -> Response {
    call::json(StatusCode::OK, &object([]))
}

fn user(store: &Store, pk: i64) -> Result<User, String> {
    store.users.get(&pk).cloned().ok_or_else(|| format!("no user has the key {pk}"))
}

fn group(store: &Store, key_or_name: &str) -> Result<Group, String> {
    let by_key = key_or_name.parse::<Uuid>().ok().and_then(|pk| store.groups.get(&pk));
    let group = by_key.or_else(|| store.group_named(key_or_name));
    group.cloned().ok_or_else(|| format!("no group has the key or name {key_or_name}"))
}
