//! Ends a session.

use poem::Response;
use reqwest::Url;

use super::{pages, session};
use crate::call::{self, Call};
use crate::configuration;
use crate::world::World;

/// `/application/o/{slug}/end-session/`: runs the provider's invalidation flow.
pub fn end_session(world: &World, call: &Call) -> Response {
    if configuration::invalidation_flow(world) == pages::INVALIDATION {
        log_out(world, call, &after_logout(world, call))
    } else {
        // A flow without a logout stage ends nothing: session, tokens and event log stay as they are.
        pages::application_left(&world.config.app_slug)
    }
}

/// `/if/flow/default-invalidation-flow/`.
pub fn flow(world: &World, call: &Call) -> Response {
    log_out(world, call, "/")
}

/// Ends the session. Refresh tokens and access tokens stay valid.
fn log_out(world: &World, call: &Call, next: &str) -> Response {
    if let Some((session, user)) = session::of(world, call) {
        let origin = call.flow_origin(pages::INVALIDATION, "GET", user.as_actor());
        world.write(Some(origin), |tx| tx.log_out(&session));
    }
    session::delete_cookie(call::redirect(next))
}

/// The requested URI if it is a logout URI of the provider, otherwise authentik's start page.
fn after_logout(world: &World, call: &Call) -> String {
    let requested = call.parameter("post_logout_redirect_uri").unwrap_or_default();
    let is_allowed = configuration::logout_uris(world).iter().any(|uri| uri == requested);
    match (is_allowed, Url::parse(requested)) {
        (true, Ok(mut uri)) => {
            if let Some(state) = call.parameter("state") {
                uri.query_pairs_mut().append_pair("state", state);
            }
            uri.into()
        }
        _ => "/".to_owned(),
    }
}
