//! Ends a session.

use poem::Response;
use reqwest::Url;

use super::{cors, pages, session};
use crate::call::{self, Call};
use crate::world::World;

/// `/application/o/{slug}/end-session/` and the logout flow.
pub fn handle(world: &World, call: &Call) -> Response {
    if let Some((session, user)) = session::of(world, call) {
        let origin = call.flow_origin(pages::INVALIDATION, "GET", user.as_actor());
        world.write(Some(origin), |tx| tx.log_out(&session));
    }
    session::delete_cookie(after_logout(world, call))
}

/// Redirects to the requested URI if it has the origin of one of the client's redirect URIs.
fn after_logout(world: &World, call: &Call) -> Response {
    let requested = call.parameter("post_logout_redirect_uri").and_then(|uri| Url::parse(uri).ok());
    let has_known_origin = |uri: &Url| cors::is_allowed(world, &uri.origin().ascii_serialization());
    let Some(mut uri) = requested.filter(has_known_origin) else { return pages::logged_out() };
    if let Some(state) = call.parameter("state") {
        uri.query_pairs_mut().append_pair("state", state);
    }
    call::redirect(uri.as_str())
}
