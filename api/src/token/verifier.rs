//! Finds the token of a request, and verifies it with the key that its algorithm demands.

use std::net::IpAddr;
use std::sync::Arc;

use jsonwebtoken::Algorithm;
use poem::http::HeaderMap;

use super::cache::{self, Cache, Verified};
use super::claims::{self, Claims, Expected};
use super::error::TokenError;
use super::keys::{KeyStore, KeyStoreError};
use super::presented;
use super::proxy::ProxyVerifier;

/// Verifies tokens, and caches the verified ones.
pub struct Tokens {
    keys: Arc<KeyStore>,
    expected: Expected,
    cache: Cache,
    proxy: Option<ProxyVerifier>,
}

impl Tokens {
    /// Accepts tokens that match `expected` and are signed with one of `keys`, and tokens that `proxy` accepts.
    pub fn new(keys: Arc<KeyStore>, expected: Expected, proxy: Option<ProxyVerifier>) -> Self {
        Self { keys, expected, cache: Cache::default(), proxy }
    }

    /// The key store, which needs a task that keeps it fresh.
    pub fn keys(&self) -> &Arc<KeyStore> {
        &self.keys
    }

    /// Returns the verified claims of a request from `peer`. `now` is in seconds since 1970.
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
            && self.keys.contains(&verified.key)
        {
            verified.claims.check_time(now)?;
            return Ok(verified.claims);
        }
        let header = claims::header(token)?;
        // Only the algorithm picks the key: a public key must never be used as an HMAC secret.
        match header.algorithm {
            Algorithm::HS256 => self.proxy_trusting(peer)?.verify(token, now),
            Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA => {
                let kid = header.kid.ok_or(TokenError::Invalid("has no key id"))?;
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
        self.cache.insert(hash, Verified { claims: Arc::clone(&claims), key });
        Ok(claims)
    }

    /// The verifier of the proxy provider's tokens, if `peer` is a trusted reverse proxy.
    fn proxy_trusting(&self, peer: Option<IpAddr>) -> Result<&ProxyVerifier, TokenError> {
        let proxy = self.proxy.as_ref().ok_or(TokenError::Invalid(
            "X-authentik-jwt and HS256 tokens come from proxy providers, and API_PROXY_SECRET is not set",
        ))?;
        let is_trusted = proxy.trusts(peer);
        is_trusted.then_some(proxy).ok_or(TokenError::Invalid(
            "X-authentik-jwt and HS256 tokens are accepted only from API_TRUSTED_PROXIES, which lacks this address",
        ))
    }
}
