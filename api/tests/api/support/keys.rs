//! Keys of a pretended identity provider, and tokens signed with them.

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

/// Its client secret.
pub const PROXY_SECRET: &str = "a client secret of a proxy provider that nobody else knows";

/// A key pair with a name.
pub struct SigningKey {
    kid: String,
    pub key: EncodingKey,
    algorithm: Algorithm,
}

impl SigningKey {
    /// An RSA key, as authentik makes them.
    pub fn generate(kid: &str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("generating a key");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("encoding a key");
        Self::from_pkcs8(kid, der.as_ref(), Algorithm::RS256)
    }

    pub fn from_pkcs8(kid: &str, der: &[u8], algorithm: Algorithm) -> Self {
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
        let key = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
        };
        Self { kid: kid.to_owned(), key: key.expect("a key in PEM"), algorithm }
    }

    /// The same key by another name.
    pub fn called(&self, kid: &str) -> Self {
        Self { kid: kid.to_owned(), key: self.key.clone(), algorithm: self.algorithm }
    }

    /// As the identity provider publishes it.
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

/// The claims of an access token as authentik makes them, good for ten minutes from `now`.
pub fn claims(issuer: &str, sub: &str, now: i64, groups: &[&str]) -> Value {
    json!({
        "iss": issuer, "sub": sub, "aud": CLIENT_ID, "azp": CLIENT_ID, "iat": now, "exp": now + 600,
        "scope": "openid profile email", "preferred_username": "somebody", "groups": groups,
    })
}

/// The claims of a token that an outpost passes on, of a user with this hashed id.
pub fn proxy_claims(issuer: &str, uid: &str, now: i64, groups: &[&str]) -> Value {
    let mut claims = claims(issuer, uid, now, groups);
    (claims["aud"], claims["azp"]) = (json!(PROXY_CLIENT_ID), json!(PROXY_CLIENT_ID));
    claims
}

/// A token as a proxy provider signs it: without a name of the key.
pub fn sign_with_secret(claims: &Value, secret: &[u8]) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret))
        .expect("signing a token")
}
