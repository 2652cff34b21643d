//! The token endpoint and the revocation endpoint.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::Response;
use poem::http::{HeaderValue, StatusCode, header};

use super::{issue, keys};
use crate::call::{self, Call};
use crate::clock;
use crate::json::{Json, object};
use crate::store::event;
use crate::store::session::{Code, Grant, RefreshToken};
use crate::store::user::User;
use crate::store::{Row, Store};
use crate::world::World;

/// Why no tokens were issued. The status is always 400.
#[derive(Clone, Copy)]
enum TokenError {
    InvalidClient,
    InvalidGrant,
    UnsupportedGrantType,
    ServerError,
}

type Form = Vec<(String, String)>;

/// `POST /application/o/token/`.
pub fn handle(world: &World, call: &Call) -> Response {
    let form = call.form();
    let tokens = check_client(world, &form).and_then(|()| match call::first(&form, "grant_type") {
        Some("authorization_code") => redeem_code(world, call, &form),
        Some("refresh_token") => refresh(world, call, &form),
        _ => Err(TokenError::UnsupportedGrantType),
    });
    let mut response = match tokens {
        Ok(tokens) => call::json(StatusCode::OK, &tokens),
        Err(error) => call::json(StatusCode::BAD_REQUEST, &error.body(&call.request_id)),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// `POST /application/o/revoke/`: succeeds for every known client, even for an unknown token.
pub fn revoke(world: &World, call: &Call) -> Response {
    let form = call.form();
    if let Err(error) = check_client(world, &form) {
        return call::json(StatusCode::UNAUTHORIZED, &error.body(&call.request_id));
    }
    let token = call::first(&form, "token").unwrap_or_default();
    let claims = keys::claims_of(world, token);
    world.write(None, |tx| {
        if let Some(known) = tx.store().refresh_tokens.get(token).cloned() {
            tx.put(Row::RefreshToken(RefreshToken { revoked: true, ..known }));
        } else if let Some(id) = claims.as_ref().and_then(|claims| claims.get("jti")?.as_str()) {
            tx.store_mut().revoked_access_tokens.insert(id.to_owned());
        }
    });
    call::empty(StatusCode::OK)
}

/// The client is public, so it needs only its id.
fn check_client(world: &World, form: &Form) -> Result<(), TokenError> {
    let is_known = call::first(form, "client_id") == Some(world.config.client_id.as_str());
    if is_known { Ok(()) } else { Err(TokenError::InvalidClient) }
}

fn redeem_code(world: &World, call: &Call, form: &Form) -> Result<issue::Tokens, TokenError> {
    let code = call::first(form, "code").unwrap_or_default();
    let code = world.write(None, |tx| tx.store_mut().codes.remove(code)).ok_or(TokenError::InvalidGrant)?;
    let is_redirect_same = call::first(form, "redirect_uri") == Some(code.redirect_uri.as_str());
    let is_valid = clock::now() <= code.expires && is_redirect_same && is_verified(&code, form);
    if !is_valid || !world.read(|store| is_active(store, &code.grant)) {
        return Err(TokenError::InvalidGrant);
    }
    issue(world, call, &code.grant, code.nonce.as_deref())
}

/// Checks PKCE. A verifier without a challenge is an error too.
fn is_verified(code: &Code, form: &Form) -> bool {
    match (&code.challenge, call::first(form, "code_verifier")) {
        (None, None) => true,
        (Some((challenge, true)), Some(verifier)) => {
            let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
            URL_SAFE_NO_PAD.encode(hash) == *challenge
        }
        (Some((challenge, false)), Some(verifier)) => verifier == challenge,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// A refresh token can be used once. A second use records `suspicious_request`.
fn refresh(world: &World, call: &Call, form: &Form) -> Result<issue::Tokens, TokenError> {
    let token = call::first(form, "refresh_token").unwrap_or_default();
    let grant = world.write(Some(call.origin(event::anonymous())), |tx| {
        let known = tx.store().refresh_tokens.get(token).cloned().ok_or(TokenError::InvalidGrant)?;
        if known.revoked {
            let actor = tx.store().users.get(&known.grant.user).map(User::as_actor);
            if let Some(actor) = actor {
                let app = "authentik.providers.oauth2.views.token";
                tx.event_of(actor, "suspicious_request", app, reuse_context(&world.config.client_id));
            }
            return Err(TokenError::InvalidGrant);
        }
        if clock::now() > known.expires || !is_active(tx.store(), &known.grant) {
            return Err(TokenError::InvalidGrant);
        }
        tx.put(Row::RefreshToken(RefreshToken { revoked: true, ..known.clone() }));
        Ok(known.grant)
    })?;
    issue(world, call, &grant, None)
}

fn issue(
    world: &World,
    call: &Call,
    grant: &Grant,
    nonce: Option<&str>,
) -> Result<issue::Tokens, TokenError> {
    let seconds = i64::from(world.config.access_token_seconds);
    issue::issue(world, &call.base_url, grant, nonce, seconds).map_err(|error| {
        tracing::error!("issuing tokens failed: {error:#}");
        TokenError::ServerError
    })
}

fn is_active(store: &Store, grant: &Grant) -> bool {
    store.users.get(&grant.user).is_some_and(|user| user.is_active)
}

fn reuse_context(client_id: &str) -> Json {
    let provider = object([
        ("pk", 5.into()),
        ("app", "authentik_providers_oauth2".into()),
        ("name", client_id.into()),
        ("model_name", "oauth2provider".into()),
    ]);
    object([("message", "Revoked refresh token was used".into()), ("provider", provider)])
}

impl TokenError {
    fn body(self, request_id: &str) -> Json {
        let (error, description) = match self {
            Self::InvalidClient => (
                "invalid_client",
                "Client authentication failed (e.g., unknown client, no client authentication included, \
                 or unsupported authentication method)",
            ),
            Self::InvalidGrant => (
                "invalid_grant",
                "The provided authorization grant or refresh token is invalid, expired, revoked, does not \
                 match the redirection URI used in the authorization request, or was issued to another \
                 client",
            ),
            Self::UnsupportedGrantType => (
                "unsupported_grant_type",
                "The authorization grant type is not supported by the authorization server",
            ),
            Self::ServerError => ("server_error", "The authorization server failed"),
        };
        object([
            ("error", error.into()),
            ("error_description", description.into()),
            ("request_id", request_id.into()),
        ])
    }
}
