//! The `OAuth2` provider of one application, and the pages on which people log in.

pub mod issue;
pub mod keys;
pub mod pages;

mod authorize;
mod claims;
mod cors;
mod discovery;
mod flows;
mod logout;
mod session;
mod token;
mod userinfo;

use poem::Response;
use poem::http::{Method, StatusCode};

use crate::call::{self, Call};
use crate::world::World;

/// Handles a request whose path has these `segments` after `/application/o/`.
pub fn handle(world: &World, call: &Call, segments: &[&str]) -> Response {
    if let Some(status) = world.faults().oidc_status {
        return call::empty(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    }
    let is_post = call.method == Method::POST;
    match segments {
        ["authorize", ""] => authorize::handle(world, call),
        ["token" | "userinfo", ""] if call.method == Method::OPTIONS => {
            cors::add_headers(world, call, call::empty(StatusCode::OK))
        }
        ["token", ""] if is_post => cors::add_headers(world, call, token::handle(world, call)),
        ["userinfo", ""] => cors::add_headers(world, call, userinfo::handle(world, call)),
        // authentik sends no CORS headers here, and refuses the preflight request.
        ["revoke", ""] if is_post => token::revoke(world, call),
        ["revoke", ""] => call::empty(StatusCode::METHOD_NOT_ALLOWED),
        [slug, rest @ ..] if *slug == world.config.app_slug => match rest {
            [".well-known", "openid-configuration"] | [".well-known", "openid-configuration", ""] => {
                cors::add_headers(world, call, discovery::configuration(world, call))
            }
            ["jwks", ""] => discovery::key_set(world),
            ["end-session", ""] => logout::end_session(world, call),
            _ => pages::not_found(),
        },
        _ => pages::not_found(),
    }
}

/// Handles a page of a flow: `/if/flow/{flow}/`.
pub fn flow(world: &World, call: &Call, flow: &str) -> Response {
    match flow {
        pages::AUTHENTICATION => flows::authentication(world, call),
        pages::ENROLLMENT => flows::enrollment(world, call),
        pages::INVALIDATION => logout::flow(world, call),
        _ => pages::not_found(),
    }
}

/// `/`: shows which user is logged in.
pub fn home(world: &World, call: &Call) -> Response {
    let name = session::of(world, call).map(|(_, user)| user.name);
    pages::home(name.as_deref())
}
