//! Changing groups.

use poem::http::StatusCode;

use super::answer::Refusal;
use super::fields::{Fields, Missing};
use super::{Answer, auth, groups, no_content};
use crate::call::{self, Call};
use crate::store::Store;
use crate::store::group::Group;
use crate::store::group_changes::{GroupPatch, Member};
use crate::world::World;

/// `POST /core/groups/`.
pub fn create(world: &World, call: &Call) -> Answer {
    let origin = auth::writer(world, call)?;
    let mut fields = Fields::of(call)?;
    world.write(Some(origin), |tx| {
        let patch = read_patch(tx.store(), &mut fields, Missing::Refuse, None);
        fields.finish()?;
        let group = tx.create_group(patch);
        Ok(call::json(StatusCode::CREATED, &groups::shown(tx.store(), &group, true)))
    })
}

/// `PATCH` and `PUT /core/groups/{pk}/`.
pub fn update(world: &World, call: &Call, pk: &str, missing: Missing) -> Answer {
    let origin = auth::writer(world, call)?;
    let mut fields = Fields::of(call)?;
    world.write(Some(origin), |tx| {
        let mut group = groups::find(tx.store(), pk)?.clone();
        let patch = read_patch(tx.store(), &mut fields, missing, Some(&group));
        fields.finish()?;
        tx.update_group(&mut group, patch);
        Ok(call::json(StatusCode::OK, &groups::shown(tx.store(), &group, true)))
    })
}

/// `DELETE /core/groups/{pk}/`.
pub fn delete(world: &World, call: &Call, pk: &str) -> Answer {
    let origin = auth::writer(world, call)?;
    world.write(Some(origin), |tx| {
        let group = groups::find(tx.store(), pk)?.clone();
        tx.delete_group(&group);
        Ok(no_content())
    })
}

/// `POST /core/groups/{pk}/add_user/`.
pub fn add_user(world: &World, call: &Call, pk: &str) -> Answer {
    change_members(world, call, pk, Member::Joins)
}

/// `POST /core/groups/{pk}/remove_user/`.
pub fn remove_user(world: &World, call: &Call, pk: &str) -> Answer {
    change_members(world, call, pk, Member::Leaves)
}

fn change_members(world: &World, call: &Call, pk: &str, member: Member) -> Answer {
    let origin = auth::writer(world, call)?;
    let mut fields = Fields::of(call)?;
    let user = fields.integer("pk");
    if user.is_none() {
        fields.refuse("pk", "This field is required.");
    }
    fields.finish()?;
    world.write(Some(origin), |tx| {
        let group = groups::find(tx.store(), pk)?.clone();
        let user = user.and_then(|pk| tx.store().users.get(&pk)).cloned().ok_or(Refusal::NotFound)?;
        tx.move_member(&group, &user, member);
        Ok(no_content())
    })
}

fn read_patch(store: &Store, fields: &mut Fields, missing: Missing, current: Option<&Group>) -> GroupPatch {
    let name = fields.required("name", missing);
    let holder = name.as_deref().and_then(|name| store.group_named(name)).map(|group| group.pk);
    if holder.is_some() && holder != current.map(|group| group.pk) {
        fields.refuse("name", "This field must be unique.");
    }
    GroupPatch {
        name,
        is_superuser: fields.boolean("is_superuser"),
        parents: fields
            .groups("parents", |pk| store.groups.contains_key(&pk))
            .map(|parents| parents.into_iter().collect()),
        users: fields.users("users", |pk| store.users.contains_key(&pk)),
        attributes: fields.object("attributes"),
    }
}
