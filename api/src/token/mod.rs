//! Tokens of authentik: which ones are accepted, and what they claim.

mod cache;
mod claims;
mod error;
mod keys;
mod network;
mod presented;
mod proxy;
mod verifier;

pub use claims::{AcceptedTokens, Claims, Expected};
pub use error::TokenError;
pub use keys::{COOLDOWN, HttpKeys, KeyStore};
pub use network::Network;
pub use proxy::{ProxyProvider, ProxyVerifier};
pub use verifier::Tokens;

#[cfg(test)]
#[path = "../../tests/api/support/keys.rs"]
mod test_keys;
#[cfg(test)]
mod tests;
