//! The token endpoint.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use poem::Response;
use poem::http::{HeaderValue, StatusCode, header};

use super::{issue, keys};
use crate::call::{self, Call};
use crate::clock;
use crate::json::{Json, object};
use crate::store::session::{Code, Grant, RefreshToken};
use crate::store::{Row, Store};
use crate::world::World;

/// Why there are no tokens: always a 400.
#[derive(Clone, Copy)]
enum Refused {
    Client,
    Grant,
    GrantType,
    Broken,
}

type Form = Vec<(String, String)>;

/// `POST /application/o/token/`.
pub fn answer(world: &World, call: &Call) -> Response {
    let form = call.form();
    let tokens = check_client(world, call, &form).and_then(|()| match call::first(&form, "grant_type") {
        Some("authorization_code") => redeem_code(world, call, &form),
        Some("refresh_token") => refresh(world, call, &form),
        _ => Err(Refused::GrantType),
    });
    let mut answer = match tokens {
        Ok(tokens) => call::json(StatusCode::OK, &tokens),
        Err(refused) => call::json(StatusCode::BAD_REQUEST, &refused.body(&call.request_id)),
    };
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    answer
}

/// `POST /application/o/revoke/`: says nothing, also about what is no token.
pub fn revoke(world: &World, call: &Call) -> Response {
    let form = call.form();
    let token = call::first(&form, "token").unwrap_or_default();
    let claims = keys::claims_of(world, token);
    world.write(None, |tx| {
        if let Some(known) = tx.store().refresh_tokens.get(token).cloned() {
            tx.put(Row::RefreshToken(RefreshToken { revoked: true, ..known }));
        } else if let Some(id) = claims.as_ref().and_then(|claims| claims.get("jti")?.as_str()) {
            tx.store_mut().revoked.insert(id.to_owned());
        }
    });
    call::empty(StatusCode::OK)
}

/// A public client: its id is enough, in the form or as the user of Basic authentication.
fn check_client(world: &World, call: &Call, form: &Form) -> Result<(), Refused> {
    let basic = call.header("authorization").and_then(|value| value.strip_prefix("Basic "));
    let basic = basic.and_then(|encoded| STANDARD.decode(encoded).ok()).unwrap_or_default();
    let basic = String::from_utf8_lossy(&basic);
    let by_header = basic.split_once(':').map(|(id, _)| id);
    let id = call::first(form, "client_id").or(by_header);
    if id == Some(world.config.client_id.as_str()) { Ok(()) } else { Err(Refused::Client) }
}

fn redeem_code(world: &World, call: &Call, form: &Form) -> Result<issue::Tokens, Refused> {
    let code = call::first(form, "code").unwrap_or_default();
    let code = world.write(None, |tx| tx.store_mut().codes.remove(code)).ok_or(Refused::Grant)?;
    let is_redirect_same = call::first(form, "redirect_uri") == Some(code.redirect_uri.as_str());
    if clock::now() > code.expires || !is_redirect_same || !is_verified(&code, form) {
        return Err(Refused::Grant);
    }
    if !world.read(|store| is_active(store, &code.grant)) {
        return Err(Refused::Grant);
    }
    issue(world, call, &code.grant, code.nonce.as_deref())
}

/// PKCE. A verifier without a challenge is refused too.
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

/// A refresh token is good once; its second use is also reported.
fn refresh(world: &World, call: &Call, form: &Form) -> Result<issue::Tokens, Refused> {
    let token = call::first(form, "refresh_token").unwrap_or_default();
    let grant = world.write(Some(call.origin(crate::store::event::anonymous())), |tx| {
        let known = tx.store().refresh_tokens.get(token).cloned().ok_or(Refused::Grant)?;
        if known.revoked {
            let actor = tx.store().users.get(&known.grant.user).map(crate::store::user::User::as_actor);
            if let Some(actor) = actor {
                let app = "authentik.providers.oauth2.views.token";
                tx.event_of(actor, "suspicious_request", app, reuse_context(&world.config.client_id));
            }
            return Err(Refused::Grant);
        }
        if clock::now() > known.expires || !is_active(tx.store(), &known.grant) {
            return Err(Refused::Grant);
        }
        tx.put(Row::RefreshToken(RefreshToken { revoked: true, ..known.clone() }));
        Ok(known.grant)
    })?;
    issue(world, call, &grant, None)
}

fn issue(world: &World, call: &Call, grant: &Grant, nonce: Option<&str>) -> Result<issue::Tokens, Refused> {
    let seconds = i64::from(world.config.access_token_seconds);
    issue::issue(world, &call.base_url, grant, nonce, seconds).map_err(|error| {
        tracing::error!("tokens could not be made: {error:#}");
        Refused::Broken
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

impl Refused {
    fn body(self, request_id: &str) -> Json {
        let (error, description) = match self {
            Self::Client => (
                "invalid_client",
                "Client authentication failed (e.g., unknown client, no client authentication included, \
                 or unsupported authentication method)",
            ),
            Self::Grant => (
                "invalid_grant",
                "The provided authorization grant or refresh token is invalid, expired, revoked, does not \
                 match the redirection URI used in the authorization request, or was issued to another \
                 client",
            ),
            Self::GrantType => (
                "unsupported_grant_type",
                "The authorization grant type is not supported by the authorization server",
            ),
            Self::Broken => ("server_error", "The authorization server failed"),
        };
        object([
            ("error", error.into()),
            ("error_description", description.into()),
            ("request_id", request_id.into()),
        ])
    }
}
