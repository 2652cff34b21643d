//! Browser sessions and what OAuth remembers.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A browser that has logged in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// The value of the cookie.
    pub id: String,
    /// Who.
    pub user: i64,
    /// Since when: the `auth_time` of tokens.
    pub auth_time: i64,
    /// By password; false after enrollment, where tokens have no `amr`.
    pub by_password: bool,
}

/// What tokens are issued for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Who.
    pub user: i64,
    /// The granted scopes, separated by spaces.
    pub scope: String,
    /// The session's `auth_time`.
    pub auth_time: i64,
    /// Whether a password was given.
    pub by_password: bool,
    /// The hash of the session's id.
    pub sid: String,
}

impl Grant {
    /// Whether `name` was granted.
    pub fn has(&self, name: &str) -> bool {
        self.scope.split(' ').any(|scope| scope == name)
    }
}

/// An authorization code, good for one minute and one use.
#[derive(Clone, Debug)]
pub struct Code {
    /// What it stands for.
    pub grant: Grant,
    /// The redirect URI of the authorization.
    pub redirect_uri: String,
    /// The client's nonce.
    pub nonce: Option<String>,
    /// PKCE: the challenge and whether it is hashed.
    pub challenge: Option<(String, bool)>,
    /// The end of its life.
    pub expires: Timestamp,
}

/// A refresh token; used ones stay, to notice reuse.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefreshToken {
    /// The opaque token.
    pub token: String,
    /// What it stands for.
    pub grant: Grant,
    /// Used or revoked.
    pub revoked: bool,
    /// The end of its life.
    pub expires: Timestamp,
}

/// The pair that signs tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredKey {
    /// The `kid` of headers and of the JWKS.
    pub kid: String,
    /// PKCS #8, in Base64.
    pub pkcs8: String,
}
