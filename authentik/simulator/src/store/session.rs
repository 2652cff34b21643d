//! Browser sessions, and the state of the OAuth provider.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The session of a browser after a login.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// The value of the cookie.
    pub id: String,
    /// The key of the user.
    pub user: i64,
    /// When the user logged in, in seconds since 1970: the `auth_time` of tokens.
    pub auth_time: i64,
    /// Whether the user gave a password. False after enrollment, where tokens have no `amr`.
    pub by_password: bool,
}

/// What a user granted to the client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// The key of the user.
    pub user: i64,
    /// The granted scopes, separated by spaces.
    pub scope: String,
    /// The session's `auth_time`.
    pub auth_time: i64,
    /// The session's `by_password`.
    pub by_password: bool,
    /// The hash of the session's id.
    pub sid: String,
}

impl Grant {
    /// Whether the scope `name` was granted.
    pub fn has(&self, name: &str) -> bool {
        self.scope.split(' ').any(|scope| scope == name)
    }
}

/// An authorization code. It can be used once, within a minute.
#[derive(Clone, Debug)]
pub struct Code {
    /// What the code can be exchanged for.
    pub grant: Grant,
    /// The redirect URI of the authorization request.
    pub redirect_uri: String,
    /// The nonce of the client.
    pub nonce: Option<String>,
    /// The PKCE challenge, and whether it is hashed.
    pub challenge: Option<(String, bool)>,
    /// When the code expires.
    pub expires: Timestamp,
}

/// A refresh token. Used tokens are kept to detect reuse.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefreshToken {
    /// The opaque token.
    pub token: String,
    /// What the token can be exchanged for.
    pub grant: Grant,
    /// Whether the token was used or revoked.
    pub revoked: bool,
    /// When the token expires.
    pub expires: Timestamp,
}

/// The key pair that signs tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredKey {
    /// The `kid` in token headers and in the JWKS.
    pub kid: String,
    /// The key pair as PKCS #8, in Base64.
    pub pkcs8: String,
}
