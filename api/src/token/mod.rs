//! Access tokens of authentik: which ones are good, and what they claim.

mod cache;
mod claims;
mod keys;
#[cfg(test)]
#[path = "../../tests/api/support/keys.rs"]
mod test_keys;

use std::sync::Arc;

use poem::http::{HeaderMap, header};

pub use claims::{Claims, Expected};
pub use keys::{COOLDOWN, HttpKeys, KeyStore};

use cache::Cache;
use keys::KeyStoreError;

/// A longer token is refused unread.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why there is no caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request has no bearer token.
    #[error("this needs an access token in the Authorization header")]
    Missing,
    /// The token is not good, for a reason that may be told.
    #[error("{0}")]
    Invalid(&'static str),
    /// The token's key is not known, and authentik cannot be asked for it now.
    #[error("the keys of the identity provider cannot be read now")]
    Unavailable,
}

/// Verifies tokens, and remembers those that it has verified.
pub struct Tokens {
    keys: Arc<KeyStore>,
    expected: Expected,
    cache: Cache,
}

impl Tokens {
    /// Accepts the tokens that are as expected and signed with one of the keys.
    pub fn new(keys: Arc<KeyStore>, expected: Expected) -> Self {
        Self { keys, expected, cache: Cache::default() }
    }

    /// The keys, for keeping them fresh.
    pub fn keys(&self) -> &Arc<KeyStore> {
        &self.keys
    }

    /// What the token in the `Authorization` header claims, at the time `now` in seconds.
    pub async fn verify(&self, headers: &HeaderMap, now: i64) -> Result<Arc<Claims>, TokenError> {
        let token = bearer(headers)?;
        let hash = cache::hash(token);
        if let Some(verified) = self.cache.get(&hash)
            && self.keys.has(&verified.key)
        {
            verified.claims.check_time(now)?;
            return Ok(verified.claims);
        }
        let kid = claims::kid(token)?;
        let key = self.keys.key(&kid).await.map_err(|error| match error {
            KeyStoreError::Unknown => TokenError::Invalid("signed with an unknown key"),
            KeyStoreError::Unavailable => TokenError::Unavailable,
        })?;
        let claims = Arc::new(Claims::decode(token, &self.expected, &key)?);
        claims.check_time(now)?;
        self.cache.insert(hash, cache::Verified { claims: Arc::clone(&claims), key });
        Ok(claims)
    }
}

/// The token of the request. Other schemes are no token at all.
fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenError::Missing)?;
    if values.next().is_some() {
        return Err(TokenError::Invalid("more than one Authorization header"));
    }
    let value = value.to_str().map_err(|_| TokenError::Invalid("not a token"))?;
    let (scheme, token) = value.split_once(' ').ok_or(TokenError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Missing);
    }
    let token = token.trim();
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::Invalid("larger than 16 KiB"));
    }
    Ok(token)
}

#[cfg(test)]
mod tests;
