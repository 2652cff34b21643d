//! The `OAuth2` provider of one application, and the pages on which people log in.

pub mod claims;
pub mod issue;
pub mod keys;
pub mod pages;

mod authorize;
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

/// The scopes that the provider knows.
const SCOPES: [&str; 5] = ["entitlements", "offline_access", "openid", "profile", "email"];

/// Answers a request whose path goes on with `segments` after `/application/o/`.
pub fn answer(world: &World, call: &Call, segments: &[&str]) -> Response {
    let faults = world.faults();
    if let Some(status) = faults.oidc_status {
        return call::empty(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    }
    let is_post = call.method == Method::POST;
    match segments {
        ["authorize", ""] => authorize::answer(world, call),
        ["token" | "userinfo" | "revoke", ""] if call.method == Method::OPTIONS => {
            cors::allow(world, call, call::empty(StatusCode::OK))
        }
        ["token", ""] if is_post => cors::allow(world, call, token::answer(world, call)),
        ["userinfo", ""] => cors::allow(world, call, userinfo::answer(world, call)),
        ["revoke", ""] if is_post => cors::allow(world, call, token::revoke(world, call)),
        [slug, rest @ ..] if *slug == world.config.app_slug => match rest {
            [".well-known", "openid-configuration"] | [".well-known", "openid-configuration", ""] => {
                cors::allow(world, call, discovery::configuration(world, call))
            }
            ["jwks", ""] if faults.jwks_down => call::empty(StatusCode::SERVICE_UNAVAILABLE),
            ["jwks", ""] => discovery::key_set(world),
            ["end-session", ""] => logout::answer(world, call),
            _ => pages::not_found(),
        },
        _ => pages::not_found(),
    }
}

/// Answers a page of a flow: `/if/flow/{flow}/`.
pub fn flow(world: &World, call: &Call, flow: &str) -> Response {
    match flow {
        flows::AUTHENTICATION => flows::authentication(world, call),
        flows::ENROLLMENT => flows::enrollment(world, call),
        flows::INVALIDATION => logout::answer(world, call),
        _ => pages::not_found(),
    }
}

/// `/`: says who is logged in.
pub fn home(world: &World, call: &Call) -> Response {
    let name = session::of(world, call).map(|(_, user)| user.name);
    pages::home(name.as_deref())
}

/// The issuer, with its slash: follows the Host header unless a public URL is configured.
pub fn issuer(world: &World, base_url: &str) -> String {
    format!("{base_url}/application/o/{}/", world.config.app_slug)
}
