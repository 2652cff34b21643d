//! The owner of the token, and authentik's version.

use poem::http::StatusCode;
use uuid::Uuid;

use super::response::RestResult;
use super::{auth, users};
use crate::call::{self, Call};
use crate::json::{Json, object};
use crate::world::World;

/// `GET /core/users/me/`, which any token may read. Other routes show more about a user.
pub fn me(world: &World, call: &Call) -> RestResult {
    let user = auth::token_owner(world, call)?;
    let named = |name: &str, pk: Uuid| object([("name", name.into()), ("pk", pk.to_string().into())]);
    let (is_superuser, groups) = world.read(|store| {
        let groups = store.groups_of(&user).into_iter().map(|group| named(&group.name, group.pk));
        (store.is_superuser(&user), groups.collect())
    });
    let owner = object([
        ("pk", user.pk.into()),
        ("username", user.username.as_str().into()),
        ("name", user.name.as_str().into()),
        ("is_active", user.is_active.into()),
        ("is_superuser", is_superuser.into()),
        ("groups", Json::Array(groups)),
        ("roles", Json::Array(user.roles.iter().map(|role| named(&role.name, role.pk)).collect())),
        ("email", user.email.as_str().into()),
        ("avatar", users::AVATAR.into()),
        ("uid", users::uid(user.pk).into()),
        ("settings", user.attributes.get("settings").cloned().unwrap_or_else(|| object([]))),
        ("type", user.kind.name().into()),
        ("system_permissions", Json::Array(vec![])),
    ]);
    Ok(call::json(StatusCode::OK, &object([("user", owner)])))
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
