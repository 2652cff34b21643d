//! The caller, the version, and impersonation.

use poem::http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::{Answer, auth, avatar, fields, no_content, users};
use crate::call::{self, Call};
use crate::json::{Json, object};
use crate::store::group::Group;
use crate::store::user::{Role, UserType};
use crate::world::World;

#[derive(Serialize)]
struct Me<'a> {
    user: Caller<'a>,
}

/// The caller as REST shows it, in its order: shorter than a user elsewhere.
#[derive(Serialize)]
struct Caller<'a> {
    pk: i64,
    username: &'a str,
    name: &'a str,
    is_active: bool,
    is_superuser: bool,
    groups: Vec<Named<'a>>,
    roles: Vec<Named<'a>>,
    email: &'a str,
    avatar: String,
    uid: String,
    settings: Json,
    #[serde(rename = "type")]
    kind: UserType,
    system_permissions: [&'static str; 0],
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    pk: Uuid,
}

impl<'a> From<&'a Group> for Named<'a> {
    fn from(group: &'a Group) -> Self {
        Self { name: &group.name, pk: group.pk }
    }
}

impl<'a> From<&'a Role> for Named<'a> {
    fn from(role: &'a Role) -> Self {
        Self { name: &role.name, pk: role.pk }
    }
}

/// `GET /core/users/me/`, for any token.
pub fn me(world: &World, call: &Call) -> Answer {
    let user = auth::caller(world, call)?;
    world.read(|store| {
        let body = Me {
            user: Caller {
                pk: user.pk,
                username: &user.username,
                name: &user.name,
                is_active: user.is_active,
                is_superuser: store.is_superuser(&user),
                groups: store.groups_of(&user).into_iter().map(Named::from).collect(),
                roles: user.roles.iter().map(Named::from).collect(),
                email: &user.email,
                avatar: avatar::data_uri(&user.name),
                uid: users::uid(user.pk),
                settings: user.attributes.get("settings").cloned().unwrap_or_else(|| object([])),
                kind: user.kind,
                system_permissions: [],
            },
        };
        Ok(call::json(StatusCode::OK, &body))
    })
}

/// `GET /admin/version/`, for any token.
pub fn version(world: &World, call: &Call) -> Answer {
    auth::reader(world, call)?;
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

/// The `app` of impersonation events.
const IMPERSONATION_APP: &str = "authentik.core.api.users";

/// `POST /core/users/{pk}/impersonate/`: the event names the target as `on_behalf_of` of the actor.
pub fn impersonate(world: &World, call: &Call, pk: &str) -> Answer {
    let origin = auth::writer(world, call)?;
    let mut fields = fields::Fields::of(call)?;
    let reason = fields.text("reason").unwrap_or_default();
    fields.finish()?;
    world.write(Some(origin.clone()), |tx| {
        let target = users::find(tx.store(), pk)?.clone();
        let mut actor = origin.actor.clone();
        if let Json::Object(members) = &mut actor {
            members.push(("on_behalf_of".to_owned(), target.as_actor()));
        }
        let context = object([("reason", reason.into())]);
        tx.event_of(actor, "impersonation_started", IMPERSONATION_APP, context);
        tx.store_mut().impersonated = Some(target.pk);
        Ok(no_content())
    })
}

/// `GET /core/users/impersonate_end/`: no event where nobody was impersonated.
pub fn end_impersonation(world: &World, call: &Call) -> Answer {
    let origin = auth::writer(world, call)?;
    world.write(Some(origin), |tx| {
        if tx.store_mut().impersonated.take().is_some() {
            tx.event("impersonation_ended", IMPERSONATION_APP, object([]));
        }
        Ok(no_content())
    })
}
