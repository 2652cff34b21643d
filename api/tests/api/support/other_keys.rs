//! Keys of other types than RSA, and the public forms of an RSA key.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{PublicEncryptingKey, PublicKeyComponents};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};

use super::keys::{SigningKey, jwks};

/// Generates a P-256 key.
pub fn p_256(kid: &str) -> SigningKey {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    let key = EncodingKey::from_ec_der(pkcs8.expect("generating a key").as_ref());
    SigningKey { kid: kid.to_owned(), algorithm: Algorithm::ES256, key }
}

/// Generates an Ed25519 key.
pub fn ed25519(kid: &str) -> SigningKey {
    // Version 1 of PKCS #8: jsonwebtoken does not read version 2, which contains the public key.
    let pkcs8 = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1());
    let key = EncodingKey::from_ed_der(pkcs8.expect("generating a key").as_ref());
    SigningKey { kid: kid.to_owned(), algorithm: Algorithm::EdDSA, key }
}

/// Forms of a public key that an attacker could use as an HMAC secret: JWKS, modulus, DER and PEM.
pub fn public_forms(key: &SigningKey) -> [Vec<u8>; 4] {
    let jwk = key.jwk();
    let number =
        |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect("a number")).expect("base64url");
    let (n, e) = (number("n"), number("e"));
    let public: PublicEncryptingKey = PublicKeyComponents { n: &n, e: &e }.try_into().expect("a public key");
    let der: PublicKeyX509Der<'_> = public.as_der().expect("encoding a key");
    let base64 = STANDARD.encode(der.as_ref());
    let lines = base64.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned());
    let lines = lines.collect::<Vec<_>>().join("\n");
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n");
    [jwks(&[key]).into_bytes(), n.clone(), der.as_ref().to_vec(), pem.into_bytes()]
}
