//! The metadata of the provider: the discovery document and the JWKS.

use poem::Response;
use poem::http::{HeaderValue, StatusCode, header};

use super::keys;
use crate::call::{self, Call};
use crate::json::{Json, object};
use crate::world::World;

/// The scopes that the provider knows.
pub const SCOPES: [&str; 5] = ["entitlements", "offline_access", "openid", "profile", "email"];

/// The issuer, with a trailing slash.
pub fn issuer(world: &World, base_url: &str) -> String {
    format!("{base_url}/application/o/{}/", world.config.app_slug)
}

/// `/application/o/{slug}/.well-known/openid-configuration`, in authentik's order.
pub fn configuration(world: &World, call: &Call) -> Response {
    let base = &call.base_url;
    let issuer = issuer(world, base);
    let endpoint = |path: &str| Json::from(format!("{base}/application/o/{path}/"));
    let algorithm = if world.faults().no_signing_key { "HS256" } else { "RS256" };
    let body = object([
        ("issuer", issuer.as_str().into()),
        ("authorization_endpoint", endpoint("authorize")),
        ("token_endpoint", endpoint("token")),
        ("userinfo_endpoint", endpoint("userinfo")),
        ("end_session_endpoint", format!("{issuer}end-session/").into()),
        ("introspection_endpoint", endpoint("introspect")),
        ("revocation_endpoint", endpoint("revoke")),
        ("device_authorization_endpoint", endpoint("device")),
        ("backchannel_logout_supported", true.into()),
        ("backchannel_logout_session_supported", true.into()),
        ("response_types_supported", list(&RESPONSE_TYPES)),
        ("response_modes_supported", list(&["query", "fragment", "form_post"])),
        ("jwks_uri", format!("{issuer}jwks/").into()),
        ("grant_types_supported", list(&GRANT_TYPES)),
        ("id_token_signing_alg_values_supported", list(&[algorithm])),
        ("subject_types_supported", list(&["public"])),
        ("token_endpoint_auth_methods_supported", list(&["client_secret_post", "client_secret_basic"])),
        ("acr_values_supported", list(&["goauthentik.io/providers/oauth2/default"])),
        ("scopes_supported", list(&SCOPES)),
        ("request_parameter_supported", false.into()),
        ("claims_supported", list(&CLAIMS.split(' ').collect::<Vec<_>>())),
        ("claims_parameter_supported", false.into()),
        ("code_challenge_methods_supported", list(&["plain", "S256"])),
    ]);
    call::json(StatusCode::OK, &body)
}

// authentik's own values. The simulator supports fewer response types and grant types.
const RESPONSE_TYPES: [&str; 6] =
    ["code", "id_token", "id_token token", "code token", "code id_token", "code id_token token"];
const GRANT_TYPES: [&str; 6] = [
    "authorization_code",
    "refresh_token",
    "implicit",
    "client_credentials",
    "password",
    "urn:ietf:params:oauth:grant-type:device_code",
];
const CLAIMS: &str = "sub iss aud exp iat auth_time acr amr nonce email email_verified entitlements roles name \
                      given_name preferred_username nickname groups";

fn list(items: &[&str]) -> Json {
    Json::Array(items.iter().map(|item| Json::from(*item)).collect())
}

/// `/application/o/{slug}/jwks/`: the public signing key, readable by every origin.
pub fn key_set(world: &World) -> Response {
    let keys = if world.faults().no_signing_key {
        object([])
    } else {
        let Ok(key) = keys::current(world) else {
            return call::empty(StatusCode::INTERNAL_SERVER_ERROR);
        };
        object([("keys", Json::Array(vec![key.jwk()]))])
    };
    let mut response = call::json(StatusCode::OK, &keys);
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
