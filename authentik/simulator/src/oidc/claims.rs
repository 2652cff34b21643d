//! The claims of tokens, in authentik's order.

use serde::Serialize;

use crate::store::Store;
use crate::store::session::Grant;
use crate::store::user::User;

/// The claims of an ID token.
#[derive(Serialize)]
pub struct IdClaims<'a> {
    /// The issuer, with a trailing slash.
    pub iss: &'a str,
    /// The user's UUID (`sub_mode: user_uuid`).
    pub sub: String,
    /// The client id; a string, not a list.
    pub aud: &'a str,
    /// The expiry, in seconds since 1970.
    pub exp: i64,
    /// The time of issue, in seconds since 1970.
    pub iat: i64,
    /// The time of the login, in seconds since 1970.
    pub auth_time: i64,
    pub acr: &'static str,
    /// The authentication method; absent after enrollment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amr: Option<[&'static str; 1]>,
    /// The nonce of the client; absent after a refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<&'a str>,
    /// The hash of the session id.
    pub sid: &'a str,
    /// A random id; the ID token and the access token share it.
    pub jti: &'a str,
    /// The claims of the granted scopes.
    #[serde(flatten)]
    pub person: PersonClaims<'a>,
}

/// The claims of an access token. The ID token has the same `typ`, `JWT`, but lacks the claims below.
#[derive(Serialize)]
pub struct AccessClaims<'a> {
    /// All claims of the ID token.
    #[serde(flatten)]
    pub id: IdClaims<'a>,
    /// The client id.
    pub azp: &'a str,
    /// A random id; not the `uid` of the user.
    pub uid: String,
    /// The granted scopes.
    pub scope: &'a str,
}

/// The claims about the user that the granted scopes allow.
#[derive(Serialize)]
pub struct PersonClaims<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entitlements: Option<[&'static str; 0]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<[&'static str; 0]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nickname: Option<&'a str>,
    /// The names of the direct groups, without their parents.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<&'a str>>,
}

impl<'a> PersonClaims<'a> {
    /// The claims about `user` that the scopes of `grant` allow.
    pub fn of(store: &'a Store, user: &'a User, grant: &Grant) -> Self {
        let with_email = grant.has("email");
        let with_profile = grant.has("profile");
        let with_entitlements = grant.has("entitlements");
        let groups = || store.groups_of(user).into_iter().map(|group| group.name.as_str()).collect();
        Self {
            email: with_email.then_some(user.email.as_str()),
            email_verified: with_email.then_some(false),
            entitlements: with_entitlements.then_some([]),
            roles: with_entitlements.then_some([]),
            name: with_profile.then_some(user.name.as_str()),
            given_name: with_profile.then_some(user.name.as_str()),
            preferred_username: with_profile.then_some(user.username.as_str()),
            nickname: with_profile.then_some(user.username.as_str()),
            groups: with_profile.then(groups),
        }
    }
}
