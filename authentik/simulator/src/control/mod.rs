//! The routes under `/_control/`, which let tests and developers do what authentik does not allow.
//!
//! They need no authentication, so the simulator must listen on a loopback address only.

mod silent;
mod state;

use std::sync::atomic::Ordering;

use poem::Response;
use poem::http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::call::{self, Call};
use crate::clock;
use crate::faults::Faults;
use crate::json::{Json, object};
use crate::oidc::issue;
use crate::store::event;
use crate::store::session::Grant;
use crate::store::user::User;
use crate::world::World;

/// A response, or the reason for a 400.
type ControlResult = Result<Response, String>;

/// Handles a request whose path has these `segments` after `/_control/`.
pub fn handle(world: &World, call: &Call, segments: &[&str]) -> Response {
    let result = match (&call.method, segments) {
        (&Method::GET, ["state"]) => Ok(state::show(world)),
        (&Method::GET, ["reads"]) => {
            Ok(ok(&serde_json::json!({"user": world.n_single_user_reads.load(Ordering::Relaxed)})))
        }
        (&Method::POST, ["faults"]) => set_faults(world, call),
        (&Method::POST, ["silent"]) => body(call).and_then(|change| silent::apply(world, change)),
        (&Method::POST, ["token"]) => issue_token(world, call),
        (&Method::POST, ["emit"]) => emit_event(world, call),
        _ => return error(StatusCode::NOT_FOUND, "unknown control route"),
    };
    result.unwrap_or_else(|reason| error(StatusCode::BAD_REQUEST, &reason))
}

fn ok(body: &impl Serialize) -> Response {
    call::json(StatusCode::OK, body)
}

fn error(status: StatusCode, reason: &str) -> Response {
    call::json(status, &object([("error", reason.into())]))
}

fn body<T: DeserializeOwned>(call: &Call) -> Result<T, String> {
    let bytes: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

/// Changes the faults that the body names. The response shows all faults.
fn set_faults(world: &World, call: &Call) -> ControlResult {
    let Json::Object(changes) = body(call)? else { return Err("expected an object".to_owned()) };
    let text = |error: serde_json::Error| error.to_string();
    let mut faults = serde_json::to_value(world.faults()).map_err(text)?;
    for (name, value) in changes {
        faults[name] = serde_json::to_value(value).map_err(text)?;
    }
    let faults: Faults = serde_json::from_value(faults).map_err(text)?;
    world.set_faults(faults);
    Ok(ok(&world.faults()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    username: String,
    /// `openid profile email` by default.
    scope: Option<String>,
    /// The lifetime in seconds. It can be negative, which gives an expired token.
    expires_in: Option<i64>,
}

/// Issues tokens without a browser.
fn issue_token(world: &World, call: &Call) -> ControlResult {
    let TokenRequest { username, scope, expires_in } = body(call)?;
    let pk = world.read(|store| store.user_named(&username).map(|user| user.pk));
    let grant = Grant {
        user: pk.ok_or_else(|| format!("no user has the username {username}"))?,
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
struct EventRequest {
    action: String,
    /// The actor; an anonymous one by default.
    user_pk: Option<i64>,
    context: Option<Json>,
}

/// Records any event.
fn emit_event(world: &World, call: &Call) -> ControlResult {
    let EventRequest { action, user_pk, context } = body(call)?;
    let actor = match user_pk {
        Some(pk) => world.read(|store| store.users.get(&pk).map(User::as_actor)),
        None => Some(event::anonymous()),
    };
    let actor = actor.ok_or("no user has this key")?;
    let pk = world.write(Some(call.origin(actor)), |tx| {
        tx.event(&action, event::SIGNAL_APP, context.unwrap_or_else(|| object([])));
        tx.store().events.values().next_back().map(|event| event.pk.to_string())
    });
    Ok(ok(&object([("pk", pk.unwrap_or_default().into())])))
}
