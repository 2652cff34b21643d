//! Keys of a fake identity provider, and tokens signed with them.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

pub const CLIENT_ID: &str = "authentik-events";

/// Client id of a proxy provider.
pub const PROXY_CLIENT_ID: &str = "proxied";

/// Client secret of the proxy provider.
pub const PROXY_SECRET: &str = "a client secret of a proxy provider for tests";

/// A key pair with a name.
pub struct SigningKey {
    pub kid: String,
    pub algorithm: Algorithm,
    pub key: EncodingKey,
}

impl SigningKey {
    /// Generates an RSA key.
    pub fn generate(kid: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("generating a key");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("encoding a key");
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key in PEM");
        Self { kid: kid.to_owned(), algorithm: Algorithm::RS256, key }
    }

    /// The same key with another name.
    pub fn renamed(&self, kid: &str) -> Self {
        Self { kid: kid.to_owned(), algorithm: self.algorithm, key: self.key.clone() }
    }

    /// The public key, as the identity provider publishes it.
    pub fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a public key");
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_value(jwk).expect("a JWK is JSON")
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).expect("signing a token")
    }
}

/// The JWKS of these keys.
pub fn jwks(keys: &[&SigningKey]) -> String {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string()
}

/// The claims of an access token of authentik, valid for ten minutes from `now`.
pub fn claims(issuer: &str, sub: &str, now: i64, groups: &[&str]) -> Value {
    json!({
        "iss": issuer, "sub": sub, "aud": CLIENT_ID, "azp": CLIENT_ID, "iat": now, "exp": now + 600,
        "scope": "openid profile email", "preferred_username": "somebody", "groups": groups,
    })
}

/// The claims of a token that an outpost passes on for the user with this hashed id.
pub fn proxy_claims(issuer: &str, uid: &str, now: i64, groups: &[&str]) -> Value {
    let mut claims = claims(issuer, uid, now, groups);
    (claims["aud"], claims["azp"]) = (json!(PROXY_CLIENT_ID), json!(PROXY_CLIENT_ID));
    claims
}

/// A token as a proxy provider signs it: with HS256 and without a `kid`.
pub fn sign_with_secret(claims: &Value, secret: &[u8]) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret))
        .expect("signing a token")
}
