//! Tokens of authentik's proxy providers: HS256 with the provider's client secret, so that a JWKS cannot tell which
//! ones are good. They come by a reverse proxy that has asked an outpost.

use std::net::IpAddr;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey};
use runtime::config::Secret;

use super::TokenError;
use super::claims::{Accepted, Claims, Expected};
use crate::network::Network;

/// What is known of a proxy provider, and where its tokens may come from.
#[derive(Clone, Debug)]
pub struct ProxyProvider {
    /// Its client secret.
    pub secret: Secret,
    /// `iss`, to the last slash.
    pub issuer: String,
    /// `aud`: its client id.
    pub audience: String,
    /// Addresses of the reverse proxies, as this process sees them.
    pub trusted: Vec<Network>,
}

/// Verifies tokens of one proxy provider.
pub struct ProxyVerifier {
    key: DecodingKey,
    expected: Expected,
    trusted: Vec<Network>,
}

impl ProxyVerifier {
    /// Accepts the tokens of this provider.
    pub fn new(provider: ProxyProvider) -> Self {
        let ProxyProvider { secret, issuer, audience, trusted } = provider;
        let key = DecodingKey::from_secret(secret.expose().as_bytes());
        // Whoever signs in at the outpost with Basic authentication has an ID token passed on.
        let expected = Expected { issuer, client_id: audience, accepted: Accepted::AnyToken };
        Self { key, expected, trusted }
    }

    /// Whether what comes from this address comes from a reverse proxy of ours. It is the other end of the connection:
    /// what a header says of it, anybody can write.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.trusted.iter().any(|network| network.contains(peer)))
    }

    /// What the token claims. Nothing is remembered: an HMAC costs no more than looking it up.
    pub fn verify(&self, token: &str, now: i64) -> Result<Arc<Claims>, TokenError> {
        let claims = Claims::decode(token, &self.expected, &self.key, Algorithm::HS256)?;
        claims.check_time(now)?;
        Ok(Arc::new(claims))
    }
}
