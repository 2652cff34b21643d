//! Tokens of authentik's proxy providers. They are signed with HS256 and the provider's client secret, so no JWKS can
//! verify them. A reverse proxy gets them from an outpost of authentik and passes them on.

use std::net::IpAddr;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey};
use runtime::config::Secret;

use super::claims::{AcceptedTokens, Claims, Expected};
use super::error::TokenError;
use super::network::Network;

/// A proxy provider, and the addresses from which its tokens are accepted.
#[derive(Clone, Debug)]
pub struct ProxyProvider {
    pub secret: Secret,
    /// `iss`, including the trailing slash.
    pub issuer: String,
    /// `aud`: its client id.
    pub audience: String,
    /// Addresses of the reverse proxies, as seen from this process.
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
        // For a user who signs in with Basic authentication, the outpost passes on an ID token.
        let expected = Expected { issuer, client_id: audience, accepted: AcceptedTokens::AllTokens };
        Self { key, expected, trusted }
    }

    /// Whether `peer`, the other end of the TCP connection, is trusted. Clients can forge `X-Forwarded-For`.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.trusted.iter().any(|network| network.contains(peer)))
    }

    /// Returns the verified claims. They are not cached: an HMAC is as fast as a lookup.
    pub fn verify(&self, token: &str, now: i64) -> Result<Arc<Claims>, TokenError> {
        let claims = Claims::decode(token, &self.expected, &self.key, Algorithm::HS256)?;
        claims.check_time(now)?;
        Ok(Arc::new(claims))
    }
}
