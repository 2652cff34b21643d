//! The RSA pair that signs tokens.

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

/// Makes a pair; takes a good part of a second.
pub fn generate() -> anyhow::Result<StoredKey> {
    let pair = KeyPair::generate(KeySize::Rsa2048).context("generating an RSA pair")?;
    let pkcs8 = pair.as_der().context("encoding an RSA pair")?;
    // authentik's are hashes of the certificate; nobody may rely on more than that they differ.
    let kid =
        URL_SAFE_NO_PAD.encode([clock::new_uuid().into_bytes(), clock::new_uuid().into_bytes()].concat());
    Ok(StoredKey { kid, pkcs8: STANDARD.encode(pkcs8.as_ref()) })
}

/// Puts another pair in place of the current one, as an administrator who picks a new signing key.
pub fn rotate(world: &World) -> anyhow::Result<String> {
    let key = generate()?;
    let kid = key.kid.clone();
    world.write(None, |tx| tx.put(Row::Key(key)));
    Ok(kid)
}

/// Sees to it that there is a pair.
pub fn ensure(world: &World) -> anyhow::Result<()> {
    if world.read(|store| store.keys.is_empty()) {
        rotate(world)?;
    }
    Ok(())
}

/// The pair that signs now.
pub fn current(world: &World) -> anyhow::Result<SigningKey> {
    let key = world.read(|store| store.keys.last().cloned()).context("there is no signing key")?;
    SigningKey::read(&key)
}

/// A pair, ready to sign.
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

    /// The public half, as the JWKS lists it.
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

    /// A signed token.
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

/// The claims of a token that this provider signed, with any pair it ever had: authentik looks its own
/// tokens up by value. Says nothing about their time.
pub fn claims_of(world: &World, token: &str) -> Option<Json> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let read =
        |part: &str| -> Option<Json> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let header = read(header)?;
    let kid = header.get("kid")?.as_str()?;
    let key = world.read(|store| store.keys.iter().find(|key| key.kid == kid).cloned())?;
    let key = SigningKey::read(&key).ok()?;
    let public =
        signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key.pair.public_key());
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    read(claims)
}
