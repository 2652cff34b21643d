//! The end of a session.

use poem::Response;
use reqwest::Url;

use super::{cors, flows, pages, session};
use crate::call::{self, Call};
use crate::world::World;

/// `/application/o/{slug}/end-session/`, and the logout flow.
pub fn answer(world: &World, call: &Call) -> Response {
    if let Some((session, user)) = session::of(world, call) {
        let origin = call.flow_origin(flows::INVALIDATION, "GET", user.as_actor());
        world.write(Some(origin), |tx| tx.log_out(&session));
    }
    session::end(after_logout(world, call))
}

/// Back to the application, when the address is on the origin of a redirect URI.
fn after_logout(world: &World, call: &Call) -> Response {
    let asked = call.parameter("post_logout_redirect_uri").and_then(|uri| Url::parse(uri).ok());
    let is_known = |uri: &Url| cors::is_allowed(world, &uri.origin().ascii_serialization());
    let Some(mut uri) = asked.filter(is_known) else { return pages::logged_out() };
    if let Some(state) = call.parameter("state") {
        uri.query_pairs_mut().append_pair("state", state);
    }
    call::redirect(uri.as_str())
}
