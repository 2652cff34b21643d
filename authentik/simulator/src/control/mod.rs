//! `/_control/`: what tests and developers do to the simulator that nobody can do to authentik.
//!
//! There is no authentication: listen on the loopback only.

mod silent;
mod state;

use poem::Response;
use poem::http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::call::{self, Call};
use crate::clock;
use crate::json::{Json, object};
use crate::oidc::{issue, keys};
use crate::store::event::{self, Origin};
use crate::store::session::Grant;
use crate::store::user::User;
use crate::store::user_changes::UserPatch;
use crate::webhook::sender;
use crate::world::{Faults, World};

/// An answer, or what was wrong with the request.
type Answer = Result<Response, String>;

/// Answers a request whose path goes on with `segments` after `/_control/`.
pub fn answer(world: &World, call: &Call, segments: &[&str]) -> Response {
    let answer = match (&call.method, segments) {
        (&Method::GET, ["state"]) => Ok(state::answer(world)),
        (&Method::GET, ["reads"]) => Ok(ok(&world.reads())),
        (&Method::GET, ["faults"]) => Ok(ok(&world.faults())),
        (&Method::POST, ["faults"]) => set_faults(world, call),
        (&Method::POST, ["silent"]) => body(call).and_then(|change| silent::apply(world, change)),
        (&Method::POST, ["self_delete"]) => self_delete(world, call),
        (&Method::POST, ["self_update"]) => self_update(world, call),
        (&Method::POST, ["token"]) => token(world, call),
        (&Method::POST, ["emit"]) => emit(world, call),
        (&Method::POST, ["deliveries", "retry"]) => {
            let n_retried = i64::try_from(sender::retry_rejected(world)).unwrap_or(i64::MAX);
            Ok(ok(&object([("retried", n_retried.into())])))
        }
        (&Method::POST, ["reset"]) => {
            world.reset();
            Ok(ok(&object([])))
        }
        (&Method::POST, ["rotate_key"]) => keys::rotate(world)
            .map(|kid| ok(&object([("kid", kid.into())])))
            .map_err(|error| format!("{error:#}")),
        _ => return refuse(StatusCode::NOT_FOUND, "there is no such control"),
    };
    answer.unwrap_or_else(|reason| refuse(StatusCode::BAD_REQUEST, &reason))
}

fn ok(body: &impl serde::Serialize) -> Response {
    call::json(StatusCode::OK, body)
}

fn refuse(status: StatusCode, reason: &str) -> Response {
    call::json(status, &object([("error", reason.into())]))
}

fn body<T: DeserializeOwned>(call: &Call) -> Result<T, String> {
    let bytes: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// Only the given members change; the answer shows all.
fn set_faults(world: &World, call: &Call) -> Answer {
    let Json::Object(changes) = body(call)? else { return Err("expected an object".to_owned()) };
    let read = |error: serde_json::Error| error.to_string();
    let mut faults = serde_json::to_value(world.faults()).map_err(read)?;
    for (name, value) in changes {
        faults[name] = serde_json::to_value(value).map_err(read)?;
    }
    let faults: Faults = serde_json::from_value(faults).map_err(read)?;
    world.set_faults(faults);
    Ok(ok(&world.faults()))
}

/// A user by key, as both the subject and the actor of a request of their own.
fn own_request(world: &World, call: &Call, pk: i64) -> Result<(User, Origin), String> {
    let user = world.read(|store| store.users.get(&pk).cloned()).ok_or("there is no such user")?;
    let origin = call.origin(user.as_actor());
    Ok((user, origin))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SelfDelete {
    pk: i64,
}

/// Users who delete themselves through the API: neither an event nor a webhook remains.
fn self_delete(world: &World, call: &Call) -> Answer {
    let SelfDelete { pk } = body(call)?;
    let (user, origin) = own_request(world, call, pk)?;
    let origin = Origin { path: format!("/api/v3/core/users/{pk}/"), method: "DELETE".to_owned(), ..origin };
    world.write(Some(origin), |tx| tx.delete_user(&user));
    Ok(ok(&object([])))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SelfUpdate {
    pk: i64,
    username: Option<String>,
    name: Option<String>,
    email: Option<String>,
    password: Option<String>,
}

/// Users who change their profile or password: `user_write` and more.
fn self_update(world: &World, call: &Call) -> Answer {
    let SelfUpdate { pk, username, name, email, password } = body(call)?;
    let (mut user, origin) = own_request(world, call, pk)?;
    let flow = if password.is_some() { "default-password-change" } else { "default-user-settings-flow" };
    let origin = Origin {
        path: format!("/api/v3/flows/executor/{flow}/"),
        method: "GET".to_owned(),
        args: object([]),
        ..origin
    };
    let patch = UserPatch { username, name, email, ..UserPatch::default() };
    world.write(Some(origin), |tx| tx.update_self(&mut user, patch, password));
    Ok(ok(&object([])))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    username: String,
    scope: Option<String>,
    expires_in: Option<i64>,
}

/// Tokens without a browser, also ones that have already expired.
fn token(world: &World, call: &Call) -> Answer {
    let TokenRequest { username, scope, expires_in } = body(call)?;
    let pk = world.read(|store| store.user_named(&username).map(|user| user.pk));
    let grant = Grant {
        user: pk.ok_or("there is no such user")?,
        scope: issue::known_scopes(scope.as_deref().unwrap_or("openid profile email")),
        auth_time: clock::now().unix(),
        by_password: true,
        sid: clock::new_uuid().simple().to_string(),
    };
    let seconds = expires_in.unwrap_or(i64::from(world.config.access_token_seconds));
    issue::issue(world, &call.base_url, &grant, None, seconds)
        .map(|tokens| ok(&tokens))
        .map_err(|error| format!("{error:#}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Emit {
    action: String,
    user_pk: Option<i64>,
    context: Option<Json>,
    app: Option<String>,
}

/// Any event, of a user or of nobody.
fn emit(world: &World, call: &Call) -> Answer {
    let Emit { action, user_pk, context, app } = body(call)?;
    let origin = match user_pk {
        Some(pk) => own_request(world, call, pk)?.1,
        None => call.origin(event::anonymous()),
    };
    let app = app.unwrap_or_else(|| event::SIGNAL_APP.to_owned());
    let pk = world.write(Some(origin), |tx| {
        tx.event(&action, &app, context.unwrap_or_else(|| object([])));
        tx.store().events.values().next_back().map(|event| event.pk.to_string())
    });
    Ok(ok(&object([("pk", pk.unwrap_or_default().into())])))
}
