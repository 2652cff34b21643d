//! The REST API under `/api/v3/`, as far as the recordings and the project need it.

mod auth;
mod events;
mod fields;
mod filters;
mod groups;
mod me;
mod notifications;
mod paging;
mod response;
mod users;
mod write;

use std::sync::atomic::Ordering;
use std::time::Duration;

use poem::Response;
use poem::http::Method;

use self::response::{ACTION, DETAIL, LIST, READ, Refusal};
use crate::call::Call;
use crate::world::World;

pub use groups::group_response;
pub use users::user_response;

/// Handles a request whose path has these `segments` after `/api/v3/`.
pub async fn handle(world: &World, call: &Call, segments: &[&str]) -> Response {
    let faults = world.faults();
    if faults.rest_delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(faults.rest_delay_ms)).await;
    }
    if let Some(status) = faults.rest_status {
        return response::fault(status);
    }
    // Every route ends in a slash, so the last segment is empty. authentik does not add a missing slash.
    let Some((&"", segments)) = segments.split_last() else { return response::page_not_found() };
    let Some(allow) = allowed_methods(segments) else { return response::page_not_found() };
    let method = if call.method == Method::HEAD { Method::GET } else { call.method.clone() };
    let result = match (&method, segments) {
        (&Method::POST, ["events", "transports", pk, "test"]) => {
            notifications::test_transport(world, call, pk).await
        }
        (&Method::GET, ["core", "users"]) => users::list(world, call),
        (&Method::POST, ["core", "users"]) => write::create_user(world, call),
        (&Method::GET, ["core", "users", "me"]) => me::me(world, call),
        (&Method::GET, ["core", "users", pk]) => {
            world.n_single_user_reads.fetch_add(1, Ordering::Relaxed);
            users::one(world, call, pk)
        }
        (&Method::PATCH, ["core", "users", pk]) => write::update_user(world, call, pk),
        (&Method::DELETE, ["core", "users", pk]) => write::delete_user(world, call, pk),
        (&Method::POST, ["core", "users", pk, "set_password"]) => write::set_password(world, call, pk),
        (&Method::GET, ["core", "groups"]) => groups::list(world, call),
        (&Method::POST, ["core", "groups"]) => write::create_group(world, call),
        (&Method::GET, ["core", "groups", pk]) => groups::one(world, call, pk),
        (&Method::PATCH, ["core", "groups", pk]) => write::update_group(world, call, pk),
        (&Method::DELETE, ["core", "groups", pk]) => write::delete_group(world, call, pk),
        (&Method::POST, ["core", "groups", pk, "add_user"]) => write::add_member(world, call, pk),
        (&Method::POST, ["core", "groups", pk, "remove_user"]) => write::remove_member(world, call, pk),
        (&Method::GET, ["events", "events"]) => events::list(world, call),
        (&Method::GET, ["events", "events", pk]) => events::one(world, call, pk),
        (&Method::GET, ["admin", "version"]) => me::version(world, call),
        (&Method::GET, _) => notifications::list(world, call, segments),
        _ => Err(Refusal::MethodNotAllowed),
    };
    response::with_allow(result.unwrap_or_else(|refusal| refusal.response(&call.method)), allow)
}

/// The `Allow` header of a route; `None` for an unknown route.
fn allowed_methods(segments: &[&str]) -> Option<&'static str> {
    match segments {
        ["core", "users" | "groups"]
        | ["events", "events" | "transports" | "rules"]
        | ["propertymappings", "notification"]
        | ["policies", "bindings" | "event_matcher" | "expression"]
        | ["providers", "oauth2"]
        | ["flows", "bindings"] => Some(LIST),
        ["core", "users", "me"] | ["admin", "version"] => Some(READ),
        ["core", "users" | "groups", _] | ["events", "events", _] => Some(DETAIL),
        ["core", "users", _, "set_password"]
        | ["core", "groups", _, "add_user" | "remove_user"]
        | ["events", "transports", _, "test"] => Some(ACTION),
        _ => None,
    }
}
