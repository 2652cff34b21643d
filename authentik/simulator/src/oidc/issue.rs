//! Issues tokens.

use anyhow::Context as _;
use serde::Serialize;

use super::claims::{AccessClaims, IdClaims, PersonClaims};
use super::discovery::{SCOPES, issuer};
use super::keys;
use crate::clock;
use crate::store::session::{Grant, RefreshToken};
use crate::store::{Row, Store};
use crate::world::World;

/// `refresh_token_validity: days=30`.
const REFRESH_SECONDS: f64 = 30.0 * 86_400.0;

/// The response of the token endpoint, in authentik's order.
#[derive(Serialize)]
pub struct Tokens {
    access_token: String,
    token_type: &'static str,
    scope: String,
    expires_in: i64,
    id_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// The requested scopes that the provider knows. authentik silently drops unknown scopes.
pub fn known_scopes(requested: &str) -> String {
    requested.split_whitespace().filter(|scope| SCOPES.contains(scope)).collect::<Vec<_>>().join(" ")
}

/// Issues tokens that are valid for this many seconds. Only the scope `offline_access` gives a refresh token.
pub fn issue(
    world: &World,
    base_url: &str,
    grant: &Grant,
    nonce: Option<&str>,
    seconds: i64,
) -> anyhow::Result<Tokens> {
    let key = keys::current(world)?;
    let issuer = issuer(world, base_url);
    let (now, token_id) = (clock::now(), clock::new_token(40));
    let sign = |store: &Store| {
        let user = store.users.get(&grant.user).context("the user was deleted")?;
        let id = || IdClaims {
            iss: &issuer,
            sub: user.uuid.to_string(),
            aud: &world.config.client_id,
            exp: now.unix() + seconds,
            iat: now.unix(),
            auth_time: grant.auth_time,
            acr: "goauthentik.io/providers/oauth2/default",
            amr: grant.by_password.then_some(["pwd"]),
            nonce,
            sid: &grant.sid,
            jti: &token_id,
            person: PersonClaims::of(store, user, grant),
        };
        let access = AccessClaims {
            id: id(),
            azp: &world.config.client_id,
            uid: clock::new_token(40),
            scope: &grant.scope,
        };
        anyhow::Ok((key.sign(&access)?, key.sign(&id())?))
    };
    let (access_token, id_token) = world.read(sign)?;
    let refresh_token = grant.has("offline_access").then(|| {
        let token = clock::new_token(128);
        let expires = now.plus_seconds(REFRESH_SECONDS);
        let row = RefreshToken { token: token.clone(), grant: grant.clone(), revoked: false, expires };
        world.write(None, |tx| tx.put(Row::RefreshToken(row)));
        token
    });
    Ok(Tokens {
        access_token,
        token_type: "Bearer",
        scope: grant.scope.clone(),
        expires_in: seconds,
        id_token,
        refresh_token,
    })
}
