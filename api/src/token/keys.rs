//! The keys that verify tokens: authentik's JWKS, refreshed regularly and still used while authentik is unavailable.

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

/// Minimum time between two fetches that tokens with unknown keys trigger. Failed fetches count.
pub const COOLDOWN: Duration = Duration::from_secs(10);

/// Interval of regular fetches, which make tokens of a removed key invalid.
const REFRESH: Duration = Duration::from_mins(5);

/// A larger answer is not read to its end.
const MAX_JWKS_BYTES: usize = 1024 * 1024;

/// Where keys come from.
pub trait KeySource: Send + Sync + 'static {
    /// Fetches the current JWKS.
    fn fetch(&self) -> BoxFuture<'_, anyhow::Result<Vec<u8>>>;
}

/// authentik's JWKS endpoint.
pub struct HttpKeys {
    client: reqwest::Client,
    url: String,
}

impl HttpKeys {
    /// Fetches from this URL.
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
                anyhow::ensure!(
                    jwks.len() <= MAX_JWKS_BYTES,
                    "the answer of {} is larger than {MAX_JWKS_BYTES} bytes",
                    self.url
                );
            }
            Ok(jwks)
        })
    }
}

/// A key, and the only algorithm that it may verify.
pub struct VerifyingKey {
    pub(super) key: DecodingKey,
    pub(super) algorithm: Algorithm,
    kid: String,
    jwk: Jwk,
}

impl VerifyingKey {
    /// Returns `None` for a key that must not verify tokens, such as an HMAC secret or an encryption key.
    pub(super) fn from_jwk(jwk: Jwk) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            // authentik does not sign with other curves and key types.
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

/// Why a key cannot be returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStoreError {
    /// authentik's JWKS does not contain the key.
    Unknown,
    /// Whether the key exists is unknown: authentik cannot be asked now.
    Unavailable,
}

type KeySet = HashMap<String, Arc<VerifyingKey>>;

/// State of the fetches.
#[derive(Default)]
struct Fetches {
    is_running: bool,
    /// Start of the last fetch that an unknown key triggered.
    last_for_unknown_key: Option<Instant>,
    has_last_failed: bool,
    /// Names of keys that were requested and missing in the last answer.
    absent: HashSet<String>,
}

/// Limit of remembered absent key names. Beyond it, an unknown key is reported as unavailable.
const MAX_ABSENT: usize = 1024;

/// The keys in memory. One task at a time fetches from authentik, without holding a lock.
pub struct KeyStore {
    source: Box<dyn KeySource>,
    cooldown: Duration,
    keys: RwLock<KeySet>,
    fetches: Mutex<Fetches>,
    n_completed: watch::Sender<u64>,
}

impl KeyStore {
    /// Starts without keys. Unknown keys trigger at most one fetch per `cooldown`.
    pub fn new(source: impl KeySource, cooldown: Duration) -> Self {
        Self {
            source: Box::new(source),
            cooldown,
            keys: RwLock::default(),
            fetches: Mutex::default(),
            n_completed: watch::Sender::new(0),
        }
    }

    /// The key with this name. An unknown name triggers a fetch, at most once per cooldown.
    pub async fn key(self: &Arc<Self>, kid: &str) -> Result<Arc<VerifyingKey>, KeyStoreError> {
        if let Some(key) = self.known(kid) {
            return Ok(key);
        }
        let is_fresh = self.join_or_start_fetch(true).await;
        self.known(kid).ok_or_else(|| self.why_missing(kid, is_fresh))
    }

    /// A key that may be newer than the last fetch is not reported as unknown, which would sign its user out.
    fn why_missing(&self, kid: &str, is_fresh: bool) -> KeyStoreError {
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        if fetches.has_last_failed {
            return KeyStoreError::Unavailable;
        }
        if is_fresh && fetches.absent.len() < MAX_ABSENT {
            fetches.absent.insert(kid.to_owned());
        }
        let is_absent = is_fresh || fetches.absent.contains(kid);
        if is_absent { KeyStoreError::Unknown } else { KeyStoreError::Unavailable }
    }

    /// Whether this exact key is still in authentik's JWKS.
    pub fn contains(&self, key: &Arc<VerifyingKey>) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&key.kid).is_some_and(|known| Arc::ptr_eq(known, key))
    }

    /// Fetches the keys now, and then every five minutes, until shutdown.
    pub async fn keep_fresh(self: Arc<Self>, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(REFRESH);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.join_or_start_fetch(false).await;
        }
        Ok(())
    }

    fn known(&self, kid: &str) -> Option<Arc<VerifyingKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }

    /// Waits for the running fetch, or starts one. Returns false at once if that would break the cooldown.
    async fn join_or_start_fetch(self: &Arc<Self>, for_unknown_key: bool) -> bool {
        let mut completed = self.n_completed.subscribe();
        {
            let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
            if !fetches.is_running {
                if for_unknown_key {
                    if fetches.last_for_unknown_key.is_some_and(|last| last.elapsed() < self.cooldown) {
                        return false;
                    }
                    fetches.last_for_unknown_key = Some(Instant::now());
                }
                fetches.is_running = true;
                // In its own task: the request that waits for it is cancelled if its client disconnects.
                tokio::spawn(Arc::clone(self).fetch());
            }
        }
        // Cannot fail: `self` holds the sender.
        let _ = completed.changed().await;
        true
    }

    async fn fetch(self: Arc<Self>) {
        let keys = self.source.fetch().await.and_then(|jwks| parse(&jwks));
        let has_failed = keys.is_err();
        match keys {
            Ok(keys) => self.replace(keys),
            Err(error) => tracing::warn!("cannot fetch the keys of the identity provider: {error:#}"),
        }
        {
            let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
            fetches.is_running = false;
            fetches.has_last_failed = has_failed;
            fetches.absent.clear();
        }
        self.n_completed.send_modify(|n| *n += 1);
    }

    /// An unchanged key keeps its `Arc`, because cached tokens compare keys by pointer.
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

/// authentik without a signing key answers `{}`, which means no keys.
#[derive(Deserialize)]
struct Jwks {
    #[serde(default)]
    keys: Vec<Value>,
}

/// Returns the usable keys of a JWKS, and skips the others.
fn parse(jwks: &[u8]) -> anyhow::Result<Vec<VerifyingKey>> {
    let jwks: Jwks = serde_json::from_slice(jwks).context("not a JWKS")?;
    let keys = jwks.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
    Ok(keys.filter_map(VerifyingKey::from_jwk).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_jwks_of_authentik_is_understood() {
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
    fn an_hmac_secret_and_an_unknown_key_type_are_skipped() {
        let jwks =
            br#"{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a","alg":"HS256"},{"kty":"new","kid":"b"}]}"#;
        assert!(parse(jwks).unwrap().is_empty());
    }
}
