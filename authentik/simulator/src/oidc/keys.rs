//! The RSA key pair that signs tokens.

use anyhow::Context as _;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use aws_lc_rs::{rand, signature};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;

use crate::clock;
use crate::json::{Json, object};
use crate::store::Row;
use crate::store::session::StoredKey;
use crate::world::World;

/// Generates the signing key if there is none. That can take most of a second.
pub fn ensure(world: &World) -> anyhow::Result<()> {
    if world.read(|store| store.key.is_none()) {
        let key = generate()?;
        world.write(None, |tx| tx.put(Row::Key(key)));
    }
    Ok(())
}

fn generate() -> anyhow::Result<StoredKey> {
    let pair = KeyPair::generate(KeySize::Rsa2048).context("generating an RSA key pair")?;
    let pkcs8 = pair.as_der().context("encoding an RSA key pair")?;
    // authentik uses a hash of the certificate. Clients can rely only on different keys having different ids.
    let kid =
        URL_SAFE_NO_PAD.encode([clock::new_uuid().into_bytes(), clock::new_uuid().into_bytes()].concat());
    Ok(StoredKey { kid, pkcs8: STANDARD.encode(pkcs8.as_ref()) })
}

/// The key pair that signs tokens.
pub fn current(world: &World) -> anyhow::Result<SigningKey> {
    let key = world.read(|store| store.key.clone()).context("no signing key exists")?;
    SigningKey::read(&key)
}

/// A parsed key pair.
pub struct SigningKey {
    kid: String,
    pair: KeyPair,
}

impl SigningKey {
    fn read(key: &StoredKey) -> anyhow::Result<Self> {
        let pkcs8 = STANDARD.decode(&key.pkcs8).context("decoding a signing key")?;
        let pair = KeyPair::from_pkcs8(&pkcs8).context("reading a signing key")?;
        Ok(Self { kid: key.kid.clone(), pair })
    }

    /// The public key, as an entry of the JWKS.
    pub fn jwk(&self) -> Json {
        let public = self.pair.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes).into();
        object([
            ("alg", "RS256".into()),
            ("kid", self.kid.as_str().into()),
            ("kty", "RSA".into()),
            ("use", "sig".into()),
            ("n", number(public.modulus().big_endian_without_leading_zero())),
            ("e", number(public.exponent().big_endian_without_leading_zero())),
        ])
    }

    /// Signs a token with these claims.
    pub fn sign(&self, claims: &impl Serialize) -> anyhow::Result<String> {
        let header =
            object([("alg", "RS256".into()), ("kid", self.kid.as_str().into()), ("typ", "JWT".into())]);
        let encode = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
        let signed =
            format!("{}.{}", encode(serde_json::to_vec(&header)?), encode(serde_json::to_vec(claims)?));
        let mut bytes = vec![0; self.pair.public_modulus_len()];
        let random = rand::SystemRandom::new();
        self.pair
            .sign(&signature::RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut bytes)
            .context("signing a token")?;
        Ok(format!("{signed}.{}", encode(bytes)))
    }
}

/// The claims of a token that this provider signed. Does not check whether the token has expired.
pub fn claims_of(world: &World, token: &str) -> Option<Json> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let read =
        |part: &str| -> Option<Json> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let header = read(header)?;
    let key = current(world).ok().filter(|key| header.get("kid").and_then(Json::as_str) == Some(&key.kid))?;
    let public =
        signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key.pair.public_key());
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    read(claims)
}
