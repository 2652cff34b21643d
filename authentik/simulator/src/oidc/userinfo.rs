//! The userinfo endpoint.

use poem::Response;
use poem::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use uuid::Uuid;

use super::claims::PersonClaims;
use super::keys;
use crate::call::{self, Call};
use crate::clock;
use crate::json::Json;
use crate::store::session::Grant;
use crate::world::World;

#[derive(Serialize)]
struct UserInfo<'a> {
    sub: &'a str,
    #[serde(flatten)]
    person: PersonClaims<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

/// `/application/o/userinfo/`: the current data of the user, not that of the token.
pub fn handle(world: &World, call: &Call) -> Response {
    let claims = call.bearer().and_then(|token| keys::claims_of(world, token));
    claims.and_then(|claims| user_info(world, &claims)).unwrap_or_else(unauthorized)
}

fn user_info(world: &World, claims: &Json) -> Option<Response> {
    let text = |name: &str| claims.get(name).and_then(Json::as_str);
    let (sub, scope, id) = (text("sub")?, text("scope")?, text("jti")?);
    if claims.get("exp")?.as_i64()? <= clock::now().unix() {
        return None;
    }
    let uuid: Uuid = sub.parse().ok()?;
    world.read(|store| {
        let user = store.users.values().find(|user| user.uuid == uuid)?;
        if !user.is_active || store.revoked_access_tokens.contains(id) {
            return None;
        }
        let grant = Grant {
            user: user.pk,
            scope: scope.to_owned(),
            auth_time: 0,
            by_password: true,
            sid: String::new(),
        };
        let person = PersonClaims::of(store, user, &grant);
        Some(call::json(StatusCode::OK, &UserInfo { sub, person, nonce: text("nonce") }))
    })
}

fn unauthorized() -> Response {
    let reason = "error=\"invalid_token\", error_description=\"The access token provided is expired, revoked, \
                  malformed, or invalid for other reasons\"";
    let mut response = call::empty(StatusCode::UNAUTHORIZED);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(reason));
    response
}
