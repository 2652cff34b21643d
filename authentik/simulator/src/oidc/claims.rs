//! What tokens say, in authentik's order.

use serde::Serialize;

use crate::store::Store;
use crate::store::session::Grant;
use crate::store::user::User;

/// The claims of an ID token.
#[derive(Serialize)]
pub struct IdClaims<'a> {
    /// The issuer, with its slash.
    pub iss: &'a str,
    /// The user's UUID (`sub_mode: user_uuid`).
    pub sub: String,
    /// The client; a string, not a list.
    pub aud: &'a str,
    /// The end, in seconds since 1970.
    pub exp: i64,
    /// The beginning.
    pub iat: i64,
    /// When the user logged in.
    pub auth_time: i64,
    /// Always the same.
    pub acr: &'static str,
    /// Missing after enrollment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amr: Option<[&'static str; 1]>,
    /// The client's; missing after a refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<&'a str>,
    /// The hashed session.
    pub sid: &'a str,
    /// Random; the same in the access token.
    pub jti: &'a str,
    /// What the scopes add.
    #[serde(flatten)]
    pub person: PersonClaims<'a>,
}

/// The claims of an access token. Its `typ` is `JWT` too: only these members tell the two apart.
#[derive(Serialize)]
pub struct AccessClaims<'a> {
    /// All claims of the ID token.
    #[serde(flatten)]
    pub id: IdClaims<'a>,
    /// The client.
    pub azp: &'a str,
    /// Random; not the user's `uid`.
    pub uid: String,
    /// The granted scopes.
    pub scope: &'a str,
}

/// What the granted scopes tell about the user.
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
    /// Names of the direct groups; not of those above.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<&'a str>>,
}

impl<'a> PersonClaims<'a> {
    /// What `grant` allows to be told about `user`.
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
