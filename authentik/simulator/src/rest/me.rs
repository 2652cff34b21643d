//! The owner of the token, and authentik's version.

use poem::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::response::RestResult;
use super::{auth, users};
use crate::call::{self, Call};
use crate::json::{Json, object};
use crate::store::user::UserType;
use crate::world::World;

#[derive(Serialize)]
struct Me<'a> {
    user: Owner<'a>,
}

/// The owner of the token, in authentik's order. Other routes show more about a user.
#[derive(Serialize)]
struct Owner<'a> {
    pk: i64,
    username: &'a str,
    name: &'a str,
    is_active: bool,
    is_superuser: bool,
    groups: Vec<NameAndKey<'a>>,
    roles: Vec<NameAndKey<'a>>,
    email: &'a str,
    avatar: &'static str,
    uid: String,
    settings: Json,
    #[serde(rename = "type")]
    kind: UserType,
    system_permissions: [&'static str; 0],
}

#[derive(Serialize)]
struct NameAndKey<'a> {
    name: &'a str,
    pk: Uuid,
}

/// `GET /core/users/me/`, which any token may read.
pub fn me(world: &World, call: &Call) -> RestResult {
    let user = auth::token_owner(world, call)?;
    world.read(|store| {
        let groups = store.groups_of(&user).into_iter();
        let owner = Owner {
            pk: user.pk,
            username: &user.username,
            name: &user.name,
            is_active: user.is_active,
            is_superuser: store.is_superuser(&user),
            groups: groups.map(|group| NameAndKey { name: &group.name, pk: group.pk }).collect(),
            roles: user.roles.iter().map(|role| NameAndKey { name: &role.name, pk: role.pk }).collect(),
            email: &user.email,
            avatar: users::AVATAR,
            uid: users::uid(user.pk),
            settings: user.attributes.get("settings").cloned().unwrap_or_else(|| object([])),
            kind: user.kind,
            system_permissions: [],
        };
        Ok(call::json(StatusCode::OK, &Me { user: owner }))
    })
}

/// `GET /admin/version/`, which any token may read.
pub fn version(world: &World, call: &Call) -> RestResult {
    auth::token_owner(world, call)?;
    let body = object([
        ("version_current", "2026.2.2".into()),
        ("version_latest", "0.0.0".into()),
        ("version_latest_valid", false.into()),
        ("build_hash", "".into()),
        ("outdated", false.into()),
        ("outpost_outdated", false.into()),
    ]);
    Ok(call::json(StatusCode::OK, &body))
}
