//! Access tokens of authentik: which ones are good, and what they claim.

mod cache;
mod claims;
mod keys;
mod presented;
mod proxy;
#[cfg(test)]
#[path = "../../tests/api/support/keys.rs"]
mod test_keys;

use std::net::IpAddr;
use std::sync::Arc;

use jsonwebtoken::Algorithm;
use poem::http::HeaderMap;

pub use claims::{Accepted, Claims, Expected};
pub use keys::{COOLDOWN, HttpKeys, KeyStore};
pub use proxy::{ProxyProvider, ProxyVerifier};

use cache::Cache;
use keys::KeyStoreError;

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
    proxy: Option<ProxyVerifier>,
}

impl Tokens {
    /// Accepts the tokens that are as expected and signed with one of the keys; and by a trusted reverse proxy those
    /// of a proxy provider, where there is one.
    pub fn new(keys: Arc<KeyStore>, expected: Expected, proxy: Option<ProxyVerifier>) -> Self {
        Self { keys, expected, cache: Cache::default(), proxy }
    }

    /// The keys, for keeping them fresh.
    pub fn keys(&self) -> &Arc<KeyStore> {
        &self.keys
    }

    /// What the token of a request from this address claims, at the time `now` in seconds.
    pub async fn verify(
        &self,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        now: i64,
    ) -> Result<Arc<Claims>, TokenError> {
        let token = if let Some(token) = presented::bearer(headers)? {
            token
        } else {
            let token = presented::passed_on(headers)?.ok_or(TokenError::Missing)?;
            self.proxy_trusting(peer)?;
            token
        };
        let hash = cache::hash(token);
        if let Some(verified) = self.cache.get(&hash)
            && self.keys.has(&verified.key)
        {
            verified.claims.check_time(now)?;
            return Ok(verified.claims);
        }
        let header = claims::header(token)?;
        // The algorithm alone decides, so that no key is ever used for another kind of signature than its own.
        match header.algorithm {
            Algorithm::HS256 => self.proxy_trusting(peer)?.verify(token, now),
            Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA => {
                let kid = header.kid.ok_or(TokenError::Invalid("names no key"))?;
                self.verify_by_key(token, hash, &kid, now).await
            }
            _ => Err(TokenError::Invalid(claims::UNACCEPTED_ALGORITHM)),
        }
    }

    async fn verify_by_key(
        &self,
        token: &str,
        hash: cache::Hash,
        kid: &str,
        now: i64,
    ) -> Result<Arc<Claims>, TokenError> {
        let key = self.keys.key(kid).await.map_err(|error| match error {
            KeyStoreError::Unknown => TokenError::Invalid("signed with an unknown key"),
            KeyStoreError::Unavailable => TokenError::Unavailable,
        })?;
        let claims = Arc::new(Claims::decode(token, &self.expected, &key.key, key.algorithm)?);
        claims.check_time(now)?;
        self.cache.insert(hash, cache::Verified { claims: Arc::clone(&claims), key });
        Ok(claims)
    }

    /// The verifier of what comes by reverse proxies, if this is one of them.
    fn proxy_trusting(&self, peer: Option<IpAddr>) -> Result<&ProxyVerifier, TokenError> {
        let proxy = self.proxy.as_ref().ok_or(TokenError::Invalid(
            "X-authentik-jwt and HS256 are for proxy providers, and API_PROXY_SECRET is not set",
        ))?;
        let is_trusted = proxy.trusts(peer);
        is_trusted.then_some(proxy).ok_or(TokenError::Invalid(
            "X-authentik-jwt and HS256 are taken from API_TRUSTED_PROXIES alone, and this address is none of them",
        ))
    }
}

#[cfg(test)]
mod tests;
