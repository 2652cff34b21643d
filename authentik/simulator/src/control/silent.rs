//! Changes that make no events, as those of a directory sync in authentik's worker.

use poem::Response;
use poem::http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use crate::call;
use crate::json::{Json, object};
use crate::rest::{shown_group, shown_user};
use crate::store::group::Group;
use crate::store::group_changes::{GroupPatch, Member};
use crate::store::user::{User, UserType};
use crate::store::user_changes::{NewUser, UserPatch};
use crate::store::{Store, Tx};
use crate::world::World;

/// What is to change. Groups are named by key or by name.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Makes a user.
    CreateUser {
        /// The login name.
        username: String,
        /// The display name; the login name when absent.
        name: Option<String>,
        /// Empty when absent.
        email: Option<String>,
        /// True when absent.
        is_active: Option<bool>,
        /// `internal` when absent.
        #[serde(rename = "type")]
        kind: Option<UserType>,
        /// `users` when absent.
        path: Option<String>,
        /// Empty when absent.
        attributes: Option<Json>,
        /// None when absent.
        groups: Option<Vec<String>>,
        /// `<username>-password` when absent.
        password: Option<String>,
    },
    /// Makes many users, `<prefix>0` and so on.
    CreateUsers {
        /// How many.
        count: u32,
        /// `user-` when absent.
        prefix: Option<String>,
        /// Of which each is a member; none when absent.
        groups: Option<Vec<String>>,
    },
    /// Changes a user.
    UpdateUser {
        /// Which.
        pk: i64,
        /// New login name.
        username: Option<String>,
        /// New display name.
        name: Option<String>,
        /// New address.
        email: Option<String>,
        /// Activation.
        is_active: Option<bool>,
        /// New free data.
        attributes: Option<Json>,
        /// All memberships.
        groups: Option<Vec<String>>,
    },
    /// Deletes a user.
    DeleteUser {
        /// Which.
        pk: i64,
    },
    /// Makes a group.
    CreateGroup {
        /// The unique name.
        name: String,
        /// The groups above.
        parents: Option<Vec<String>>,
    },
    /// Renames a group.
    UpdateGroup {
        /// Which.
        group: String,
        /// The new name.
        name: String,
    },
    /// Deletes a group.
    DeleteGroup {
        /// Which.
        group: String,
    },
    /// Adds a user to a group.
    AddToGroup {
        /// Whom.
        pk: i64,
        /// To which.
        group: String,
    },
    /// Takes a user out of a group.
    RemoveFromGroup {
        /// Whom.
        pk: i64,
        /// From which.
        group: String,
    },
}

/// Makes the change. Answers the user as REST shows it, the group as REST shows it without its users' objects, or `{}`
/// when it is gone.
pub fn apply(world: &World, change: Change) -> Result<Response, String> {
    world.write(None, |tx| match change {
        Change::CreateUser { .. } => create_user(tx, change),
        Change::CreateUsers { count, prefix, groups } => {
            let groups = keys(tx.store(), &groups.unwrap_or_default())?;
            Ok(create_users(tx, count, prefix.as_deref(), &groups))
        }
        Change::UpdateUser { .. } => update_user(tx, change),
        Change::DeleteUser { pk } => {
            let user = user(tx.store(), pk)?;
            tx.delete_user(&user);
            Ok(gone())
        }
        Change::CreateGroup { name, parents } => {
            let parents = keys(tx.store(), &parents.unwrap_or_default())?;
            let patch = GroupPatch { name: Some(name), parents: Some(parents), ..GroupPatch::default() };
            let group = tx.create_group(patch);
            Ok(shown_group(tx.store(), &group))
        }
        Change::UpdateGroup { group, name } => {
            let mut group = find_group(tx.store(), &group)?;
            tx.update_group(&mut group, GroupPatch { name: Some(name), ..GroupPatch::default() });
            Ok(shown_group(tx.store(), &group))
        }
        Change::DeleteGroup { group } => {
            let group = find_group(tx.store(), &group)?;
            tx.delete_group(&group);
            Ok(gone())
        }
        Change::AddToGroup { pk, group } => change_members(tx, pk, &group, Member::Joins),
        Change::RemoveFromGroup { pk, group } => change_members(tx, pk, &group, Member::Leaves),
    })
}

fn create_user(tx: &mut Tx, change: Change) -> Result<Response, String> {
    let Change::CreateUser { username, name, email, is_active, kind, path, attributes, groups, password } =
        change
    else {
        return Err("not a new user".to_owned());
    };
    if tx.store().user_named(&username).is_some() {
        return Err(format!("there is a user {username} already"));
    }
    let groups = keys(tx.store(), &groups.unwrap_or_default())?.into_iter().collect();
    let user = tx.create_user(NewUser {
        name: name.unwrap_or_else(|| username.clone()),
        email: email.unwrap_or_default(),
        is_inactive: is_active == Some(false),
        kind: kind.unwrap_or_default(),
        path: path.unwrap_or_default(),
        attributes: attributes.unwrap_or_default(),
        groups,
        roles: vec![],
        password: Some(password.unwrap_or_else(|| format!("{username}-password"))),
        username,
    });
    Ok(shown_user(tx.store(), &user))
}

fn create_users(tx: &mut Tx, count: u32, prefix: Option<&str>, groups: &[Uuid]) -> Response {
    let first = tx.next_pk();
    let prefix = prefix.unwrap_or("user-");
    for number in 0..count {
        let username = format!("{prefix}{number}");
        if tx.store().user_named(&username).is_none() {
            let email = format!("{username}@lab.invalid");
            let (name, groups) = (username.clone(), groups.iter().copied().collect());
            tx.create_user(NewUser { username, name, email, groups, ..NewUser::default() });
        }
    }
    let last = tx.next_pk() - 1;
    call::json(StatusCode::OK, &object([("first_pk", first.into()), ("last_pk", last.into())]))
}

fn update_user(tx: &mut Tx, change: Change) -> Result<Response, String> {
    let Change::UpdateUser { pk, username, name, email, is_active, attributes, groups } = change else {
        return Err("not a change of a user".to_owned());
    };
    let mut user = user(tx.store(), pk)?;
    let groups = groups.map(|groups| keys(tx.store(), &groups)).transpose()?;
    let groups = groups.map(|groups| groups.into_iter().collect());
    let patch = UserPatch { username, name, email, is_active, attributes, groups, ..UserPatch::default() };
    tx.update_user(&mut user, patch);
    Ok(shown_user(tx.store(), &user))
}

fn change_members(tx: &mut Tx, pk: i64, group: &str, member: Member) -> Result<Response, String> {
    let group = find_group(tx.store(), group)?;
    let user = user(tx.store(), pk)?;
    tx.move_member(&group, &user, member);
    Ok(shown_group(tx.store(), &group))
}

fn gone() -> Response {
    call::json(StatusCode::OK, &object([]))
}

fn user(store: &Store, pk: i64) -> Result<User, String> {
    store.users.get(&pk).cloned().ok_or_else(|| format!("there is no user {pk}"))
}

fn find_group(store: &Store, name: &str) -> Result<Group, String> {
    let by_key = name.parse::<Uuid>().ok().and_then(|pk| store.groups.get(&pk));
    let group = by_key.or_else(|| store.group_named(name));
    group.cloned().ok_or_else(|| format!("there is no group {name}"))
}

fn keys(store: &Store, names: &[String]) -> Result<Vec<Uuid>, String> {
    names.iter().map(|name| find_group(store, name).map(|group| group.pk)).collect()
}
