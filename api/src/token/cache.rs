//! A cache of verified tokens by hash: verifying a signature takes about 50 times as long as a lookup.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::claims::Claims;
use super::keys::VerifyingKey;

/// Capacity of each of the two generations, in tokens.
const GENERATION: usize = 8 * 1024;

pub type Hash = [u8; 32];

/// A token with a valid signature, issuer and audience. Its time must still be checked.
#[derive(Clone)]
pub struct Verified {
    pub claims: Arc<Claims>,
    pub key: Arc<VerifyingKey>,
}

/// Holds at most two generations: a full young generation replaces the old one.
#[derive(Default)]
pub struct Cache {
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Hash, Verified>,
    old: HashMap<Hash, Verified>,
}

impl Cache {
    /// The cached token with this hash.
    pub fn get(&self, hash: &Hash) -> Option<Verified> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verified) = generations.young.get(hash) {
            return Some(verified.clone());
        }
        let verified = generations.old.remove(hash)?;
        generations.insert(*hash, verified.clone());
        Some(verified)
    }

    /// Caches a token.
    pub fn insert(&self, hash: Hash, verified: Verified) {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, verified);
    }
}

impl Generations {
    fn insert(&mut self, hash: Hash, verified: Verified) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, verified);
    }
}

/// The cache key of a token: its SHA-256.
pub fn hash(token: &str) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}
