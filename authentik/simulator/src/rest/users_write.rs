//! Changing users.

use poem::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::fields::{Fields, Missing};
use super::{Answer, auth, no_content, users};
use crate::call::{self, Call};
use crate::clock;
use crate::json::object;
use crate::store::Store;
use crate::store::group_changes::GroupPatch;
use crate::store::user::{User, UserType};
use crate::store::user_changes::{NewUser, UserPatch};
use crate::world::World;

/// `POST /core/users/`.
pub fn create(world: &World, call: &Call) -> Answer {
    let origin = auth::writer(world, call)?;
    let mut fields = Fields::of(call)?;
    world.write(Some(origin), |tx| {
        let patch = read_patch(tx.store(), &mut fields, Missing::Refuse, None);
        fields.finish()?;
        let user = tx.create_user(NewUser {
            username: patch.username.unwrap_or_default(),
            name: patch.name.unwrap_or_default(),
            email: patch.email.unwrap_or_default(),
            is_inactive: patch.is_active == Some(false),
            kind: patch.kind.unwrap_or_default(),
            path: patch.path.unwrap_or_default(),
            attributes: patch.attributes.unwrap_or_default(),
            groups: patch.groups.unwrap_or_default(),
            ..NewUser::default()
        });
        Ok(call::json(StatusCode::CREATED, &users::shown(tx.store(), &user)))
    })
}

/// `PATCH` and `PUT /core/users/{pk}/`.
pub fn update(world: &World, call: &Call, pk: &str, missing: Missing) -> Answer {
    let origin = auth::writer(world, call)?;
    let mut fields = Fields::of(call)?;
    world.write(Some(origin), |tx| {
        let mut user = users::find(tx.store(), pk)?.clone();
        let patch = read_patch(tx.store(), &mut fields, missing, Some(&user));
        fields.finish()?;
        tx.update_user(&mut user, patch);
        Ok(call::json(StatusCode::OK, &users::shown(tx.store(), &user)))
    })
}

/// `DELETE /core/users/{pk}/`.
pub fn delete(world: &World, call: &Call, pk: &str) -> Answer {
    let origin = auth::writer(world, call)?;
    world.write(Some(origin), |tx| {
        let user = users::find(tx.store(), pk)?.clone();
        tx.delete_user(&user);
        Ok(no_content())
    })
}

/// `POST /core/users/{pk}/set_password/`.
pub fn set_password(world: &World, call: &Call, pk: &str) -> Answer {
    let origin = auth::writer(world, call)?;
    let mut fields = Fields::of(call)?;
    world.write(Some(origin), |tx| {
        let mut user = users::find(tx.store(), pk)?.clone();
        let password = fields.required("password", Missing::Refuse);
        fields.finish()?;
        tx.set_password(&mut user, password.unwrap_or_default());
        Ok(no_content())
    })
}

#[derive(Serialize)]
struct ServiceAccount {
    username: String,
    token: String,
    user_uid: String,
    user_pk: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_pk: Option<Uuid>,
}

/// `POST /core/users/service_account/`: a user and, when asked for, a group of the same name.
pub fn create_service_account(world: &World, call: &Call) -> Answer {
    let origin = auth::writer(world, call)?;
    let mut fields = Fields::of(call)?;
    world.write(Some(origin), |tx| {
        let name = fields.required("name", Missing::Refuse).unwrap_or_default();
        let with_group = fields.boolean("create_group").unwrap_or_default();
        let expires = fields.boolean("expiring").unwrap_or(true);
        if tx.store().user_named(&name).is_some() {
            fields.refuse("name", "This field must be unique.");
        }
        fields.finish()?;
        let user = tx.create_user(NewUser {
            username: name.clone(),
            name: name.clone(),
            kind: UserType::ServiceAccount,
            path: "goauthentik.io/service-accounts".to_owned(),
            attributes: object([("goauthentik.io/user/token-expires", expires.into())]),
            ..NewUser::default()
        });
        let group = with_group.then(|| {
            let users = Some([user.pk].into());
            tx.create_group(GroupPatch { name: Some(name), users, ..GroupPatch::default() })
        });
        let account = ServiceAccount {
            username: user.username,
            // Of the token's shape, but not accepted by anything.
            token: clock::new_token(60),
            user_uid: users::uid(user.pk),
            user_pk: user.pk,
            group_pk: group.map(|group| group.pk),
        };
        Ok(call::json(StatusCode::OK, &account))
    })
}

/// The fields in the order in which authentik checks them; `current` is the user being changed.
fn read_patch(store: &Store, fields: &mut Fields, missing: Missing, current: Option<&User>) -> UserPatch {
    let username = fields.required("username", missing);
    if let Some(username) = &username {
        let holder = store.user_named(username).map(|user| user.pk);
        if holder.is_some() && holder != current.map(|user| user.pk) {
            fields.refuse("username", "This field must be unique.");
        }
        if username.chars().count() > 150 {
            fields.refuse("username", "Ensure this field has no more than 150 characters.");
        }
    }
    let patch = UserPatch {
        username,
        name: fields.required("name", missing),
        is_active: fields.boolean("is_active"),
        groups: fields.groups("groups", |pk| store.groups.contains_key(&pk)),
        email: fields.text("email"),
        attributes: fields.object("attributes"),
        path: fields.text("path"),
        kind: None,
    };
    if patch.email.as_ref().is_some_and(|email| !email.is_empty() && !email.contains('@')) {
        fields.refuse("email", "Enter a valid email address.");
    }
    let kind = fields.text("type").and_then(|name| {
        let kind = UserType::from_name(&name);
        if kind.is_none() {
            fields.refuse("type", format!("\"{name}\" is not a valid choice."));
        }
        kind
    });
    UserPatch { kind, ..patch }
}
