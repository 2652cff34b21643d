//! Creates, changes and deletes users and groups.

use poem::http::StatusCode;

use super::fields::Fields;
use super::response::{Refusal, RestResult, no_content};
use super::{auth, groups, users};
use crate::call::{self, Call};
use crate::store::group::Group;
use crate::store::group_changes::{GroupPatch, MembershipChange};
use crate::store::user::{User, UserType};
use crate::store::user_changes::UserPatch;
use crate::store::{Store, Tx};
use crate::world::World;

/// Runs a change of the administrator, with the fields of the body.
fn write(world: &World, call: &Call, change: impl FnOnce(&mut Tx, &mut Fields) -> RestResult) -> RestResult {
    let origin = auth::may_write(world, call)?;
    let mut fields = Fields::of(call)?;
    world.write(Some(origin), |tx| change(tx, &mut fields))
}

/// `POST /core/users/`.
pub fn create_user(world: &World, call: &Call) -> RestResult {
    write(world, call, |tx, fields| {
        let patch = user_patch(tx.store(), fields, None)?;
        let user = tx.create_user(patch);
        Ok(call::json(StatusCode::CREATED, &users::shown(tx.store(), &user)))
    })
}

/// `PATCH /core/users/{pk}/`.
pub fn update_user(world: &World, call: &Call, pk: &str) -> RestResult {
    write(world, call, |tx, fields| {
        let mut user = users::find(tx.store(), pk)?.clone();
        let patch = user_patch(tx.store(), fields, Some(&user))?;
        tx.update_user(&mut user, patch);
        Ok(call::json(StatusCode::OK, &users::shown(tx.store(), &user)))
    })
}

/// `DELETE /core/users/{pk}/`.
pub fn delete_user(world: &World, call: &Call, pk: &str) -> RestResult {
    let origin = auth::may_write(world, call)?;
    world.write(Some(origin), |tx| {
        let user = users::find(tx.store(), pk)?.clone();
        tx.delete_user(&user);
        Ok(no_content())
    })
}

/// `POST /core/users/{pk}/set_password/`.
pub fn set_password(world: &World, call: &Call, pk: &str) -> RestResult {
    write(world, call, |tx, fields| {
        let mut user = users::find(tx.store(), pk)?.clone();
        let password = fields.non_empty_text("password", true);
        fields.check()?;
        tx.set_password(&mut user, password.unwrap_or_default());
        Ok(no_content())
    })
}

/// `POST /core/groups/`.
pub fn create_group(world: &World, call: &Call) -> RestResult {
    write(world, call, |tx, fields| {
        let patch = group_patch(tx.store(), fields, None)?;
        let group = tx.create_group(patch);
        Ok(call::json(StatusCode::CREATED, &groups::shown(tx.store(), &group, true)))
    })
}

/// `PATCH /core/groups/{pk}/`.
pub fn update_group(world: &World, call: &Call, pk: &str) -> RestResult {
    write(world, call, |tx, fields| {
        let mut group = groups::find(tx.store(), pk)?.clone();
        let patch = group_patch(tx.store(), fields, Some(&group))?;
        tx.update_group(&mut group, patch);
        Ok(call::json(StatusCode::OK, &groups::shown(tx.store(), &group, true)))
    })
}

/// `DELETE /core/groups/{pk}/`.
pub fn delete_group(world: &World, call: &Call, pk: &str) -> RestResult {
    let origin = auth::may_write(world, call)?;
    world.write(Some(origin), |tx| {
        let group = groups::find(tx.store(), pk)?.clone();
        tx.delete_group(&group);
        Ok(no_content())
    })
}

/// `POST /core/groups/{pk}/add_user/`.
pub fn add_member(world: &World, call: &Call, pk: &str) -> RestResult {
    change_membership(world, call, pk, MembershipChange::Add)
}

/// `POST /core/groups/{pk}/remove_user/`.
pub fn remove_member(world: &World, call: &Call, pk: &str) -> RestResult {
    change_membership(world, call, pk, MembershipChange::Remove)
}

fn change_membership(world: &World, call: &Call, pk: &str, change: MembershipChange) -> RestResult {
    write(world, call, |tx, fields| {
        let user = fields.integer("pk");
        if user.is_none() {
            fields.refuse("pk", "This field is required.");
        }
        fields.check()?;
        let group = groups::find(tx.store(), pk)?.clone();
        let user = user.and_then(|pk| tx.store().users.get(&pk)).cloned().ok_or(Refusal::NotFound)?;
        tx.change_membership(&group, &user, change);
        Ok(no_content())
    })
}

/// Reads the fields of a user, in the order in which authentik checks them. `current` is the user to change,
/// or `None` for a new one.
fn user_patch(store: &Store, fields: &mut Fields, current: Option<&User>) -> Result<UserPatch, Refusal> {
    let username = fields.non_empty_text("username", current.is_none());
    if let Some(username) = &username {
        let holder = store.user_named(username).map(|user| user.pk);
        if holder.is_some() && holder != current.map(|user| user.pk) {
            fields.refuse("username", "This field must be unique.");
        }
        if username.chars().count() > 150 {
            fields.refuse("username", "Ensure this field has no more than 150 characters.");
        }
    }
    let mut patch = UserPatch {
        username,
        name: fields.non_empty_text("name", current.is_none()),
        is_active: fields.boolean("is_active"),
        groups: fields.groups("groups", store),
        email: fields.text("email"),
        attributes: fields.object("attributes"),
        path: fields.text("path"),
        kind: None,
    };
    if patch.email.as_ref().is_some_and(|email| !email.is_empty() && !email.contains('@')) {
        fields.refuse("email", "Enter a valid email address.");
    }
    if let Some(name) = fields.text("type") {
        patch.kind = UserType::from_name(&name);
        if patch.kind.is_none() {
            fields.refuse("type", format!("\"{name}\" is not a valid choice."));
        }
    }
    fields.check()?;
    Ok(patch)
}

/// Reads the fields of a group. `current` is the group to change, or `None` for a new one.
fn group_patch(store: &Store, fields: &mut Fields, current: Option<&Group>) -> Result<GroupPatch, Refusal> {
    let name = fields.non_empty_text("name", current.is_none());
    let holder = name.as_deref().and_then(|name| store.group_named(name)).map(|group| group.pk);
    if holder.is_some() && holder != current.map(|group| group.pk) {
        fields.refuse("name", "This field must be unique.");
    }
    let patch = GroupPatch {
        name,
        is_superuser: fields.boolean("is_superuser"),
        parents: fields.groups("parents", store).map(|parents| parents.into_iter().collect()),
        users: fields.users("users", store),
        attributes: fields.object("attributes"),
    };
    fields.check()?;
    Ok(patch)
}
