//! The keys that tokens are signed with: authentik's JWKS, kept fresh and served stale.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::BoxFuture;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use runtime::CancellationToken;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

/// A token with an unknown key makes us ask authentik at most so often, whether the answer comes or not.
pub const COOLDOWN: Duration = Duration::from_secs(10);

/// How often the keys are read without a reason: a key that authentik took away must end.
const REFRESH: Duration = Duration::from_mins(5);

/// A larger answer is no key set.
const MAX_JWKS_BYTES: usize = 1024 * 1024;

/// Where keys come from.
pub trait KeySource: Send + Sync + 'static {
    /// The JWKS as it stands.
    fn fetch(&self) -> BoxFuture<'_, anyhow::Result<Vec<u8>>>;
}

/// authentik's JWKS endpoint.
pub struct HttpKeys {
    client: reqwest::Client,
    url: String,
}

impl HttpKeys {
    /// Reads from the given URL.
    pub fn new(url: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build();
        Ok(Self { client: client.context("making an HTTP client")?, url })
    }
}

impl KeySource for HttpKeys {
    fn fetch(&self) -> BoxFuture<'_, anyhow::Result<Vec<u8>>> {
        Box::pin(async {
            let answer =
                self.client.get(&self.url).send().await.and_then(reqwest::Response::error_for_status);
            let mut answer = answer.with_context(|| format!("reading {}", self.url))?;
            let mut jwks = vec![];
            while let Some(chunk) = answer.chunk().await.with_context(|| format!("reading {}", self.url))? {
                jwks.extend_from_slice(&chunk);
                anyhow::ensure!(jwks.len() <= MAX_JWKS_BYTES, "{} answers too much", self.url);
            }
            Ok(jwks)
        })
    }
}

/// A key, and the one algorithm that it may be used with.
pub struct VerifyingKey {
    pub(super) key: DecodingKey,
    pub(super) algorithm: Algorithm,
    kid: String,
    jwk: Jwk,
}

impl VerifyingKey {
    /// The key, if it is one that we accept signatures of: an HMAC secret never is.
    pub(super) fn from_jwk(jwk: Jwk) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            // Curves and kinds that authentik does not sign with.
            _ => return None,
        };
        if jwk.common.key_algorithm.is_some_and(|named| named != algorithm.into()) {
            return None;
        }
        if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
            return None;
        }
        let kid = jwk.common.key_id.clone()?;
        Some(Self { key: DecodingKey::from_jwk(&jwk).ok()?, algorithm, kid, jwk })
    }
}

/// Why a key is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStoreError {
    /// authentik has no such key.
    Unknown,
    /// authentik was asked in vain.
    Unavailable,
}

type KeySet = HashMap<String, Arc<VerifyingKey>>;

/// What the last request to authentik came to.
#[derive(Default)]
struct Attempts {
    under_way: bool,
    /// When authentik was last asked because a key was unknown.
    last: Option<Instant>,
    failed: bool,
    /// Names of keys that were not in the last answer.
    absent: HashSet<String>,
}

/// How many names of absent keys are remembered; who makes up more of them is told to come back.
const MAX_ABSENT: usize = 1024;

/// The keys. They are read from memory; authentik is asked by one task at a time, outside any lock.
pub struct KeyStore {
    source: Box<dyn KeySource>,
    cooldown: Duration,
    keys: RwLock<KeySet>,
    attempts: Mutex<Attempts>,
    n_attempts: watch::Sender<u64>,
}

impl KeyStore {
    /// No keys yet; asks the source at most once in `cooldown` for an unknown one.
    pub fn new(source: impl KeySource, cooldown: Duration) -> Self {
        Self {
            source: Box::new(source),
            cooldown,
            keys: RwLock::default(),
            attempts: Mutex::default(),
            n_attempts: watch::Sender::new(0),
        }
    }

    /// The key of that name; asks authentik where it is unknown.
    pub async fn key(self: &Arc<Self>, kid: &str) -> Result<Arc<VerifyingKey>, KeyStoreError> {
        if let Some(key) = self.known(kid) {
            return Ok(key);
        }
        let was_asked = self.refresh_within_cooldown().await;
        self.known(kid).ok_or_else(|| self.why_missing(kid, was_asked))
    }

    /// A key that authentik may have made since it was last asked is not unknown: who has it must not be signed out.
    fn why_missing(&self, kid: &str, was_asked: bool) -> KeyStoreError {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if attempts.failed {
            return KeyStoreError::Unavailable;
        }
        if was_asked && attempts.absent.len() < MAX_ABSENT {
            attempts.absent.insert(kid.to_owned());
        }
        let is_absent = was_asked || attempts.absent.contains(kid);
        if is_absent { KeyStoreError::Unknown } else { KeyStoreError::Unavailable }
    }

    /// Whether this very key is still one of authentik's.
    pub fn has(&self, key: &Arc<VerifyingKey>) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&key.kid).is_some_and(|known| Arc::ptr_eq(known, key))
    }

    /// Reads the keys now, and then every few minutes.
    pub async fn keep_fresh(self: Arc<Self>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(REFRESH);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.refresh_unless_under_way(|_| true).await;
        }
    }

    fn known(&self, kid: &str) -> Option<Arc<VerifyingKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }

    /// Says whether authentik was asked meanwhile; it is not where it was a moment ago.
    async fn refresh_within_cooldown(self: &Arc<Self>) -> bool {
        let cooldown = self.cooldown;
        self.refresh_unless_under_way(|attempts| {
            let may_ask = attempts.last.is_none_or(|last| last.elapsed() >= cooldown);
            if may_ask {
                attempts.last = Some(Instant::now());
            }
            may_ask
        })
        .await
    }

    /// Waits for the request that is under way, or makes one if it may. Says whether it was one or the other.
    async fn refresh_unless_under_way(self: &Arc<Self>, may_ask: impl FnOnce(&mut Attempts) -> bool) -> bool {
        let mut done = self.n_attempts.subscribe();
        {
            let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            if !attempts.under_way {
                if !may_ask(&mut attempts) {
                    return false;
                }
                attempts.under_way = true;
                // A task of its own: the request that waits for it may be given up by its client.
                tokio::spawn(Arc::clone(self).refresh());
            }
        }
        // The sender is ours: it cannot be gone.
        let _ = done.changed().await;
        true
    }

    async fn refresh(self: Arc<Self>) {
        let fetched = self.source.fetch().await.and_then(|jwks| parse(&jwks));
        let failed = fetched.is_err();
        match fetched {
            Ok(keys) => self.replace(keys),
            Err(error) => tracing::warn!("cannot read the keys of the identity provider: {error:#}"),
        }
        {
            let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            attempts.under_way = false;
            attempts.failed = failed;
            attempts.absent.clear();
        }
        self.n_attempts.send_modify(|n| *n += 1);
    }

    /// A key that stays keeps its identity, by which verified tokens know it.
    fn replace(&self, fresh: Vec<VerifyingKey>) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let known =
            |fresh: &VerifyingKey| keys.get(&fresh.kid).filter(|known| known.jwk == fresh.jwk).cloned();
        let fresh: KeySet = fresh
            .into_iter()
            .map(|key| (key.kid.clone(), known(&key).unwrap_or_else(|| Arc::new(key))))
            .collect();
        *keys = fresh;
    }
}

/// authentik without a signing key answers `{}`: that is no keys.
#[derive(Deserialize)]
struct Jwks {
    #[serde(default)]
    keys: Vec<Value>,
}

/// The keys that we accept; one that we cannot read does not hide the others.
fn parse(jwks: &[u8]) -> anyhow::Result<Vec<VerifyingKey>> {
    let jwks: Jwks = serde_json::from_slice(jwks).context("not a JWKS")?;
    let keys = jwks.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
    Ok(keys.filter_map(VerifyingKey::from_jwk).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authentiks_own_answer_is_understood() {
        let jwks = testkit::recordings::json("oidc/jwks.json").to_string();
        let keys = parse(jwks.as_bytes()).unwrap();
        assert!(!keys.is_empty());
        assert!(keys.iter().all(|key| key.algorithm == Algorithm::RS256));
    }

    #[test]
    fn an_answer_without_keys_is_an_empty_set() {
        assert!(parse(b"{}").unwrap().is_empty());
        assert!(parse(b"<html>").is_err());
    }

    #[test]
    fn a_secret_and_an_unknown_kind_are_no_keys() {
        let jwks =
            br#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a","alg":"HS256"},{"kty":"new","kid":"b"}]}"#;
        assert!(parse(jwks).unwrap().is_empty());
    }
}
