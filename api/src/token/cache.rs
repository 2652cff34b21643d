//! Tokens that were verified before, by their hash: checking a signature costs 50 times as much.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::claims::Claims;
use super::keys::VerifyingKey;

/// How many tokens each of the two generations keeps.
const GENERATION: usize = 8 * 1024;

pub type Hash = [u8; 32];

/// A token whose signature, issuer and audience were found good.
#[derive(Clone)]
pub struct Verified {
    pub claims: Arc<Claims>,
    pub key: Arc<VerifyingKey>,
}

/// Bounded: when the young generation is full, it takes the place of the old one.
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
    /// The token with that hash, if it was seen of late.
    pub fn get(&self, hash: &Hash) -> Option<Verified> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verified) = generations.young.get(hash) {
            return Some(verified.clone());
        }
        let verified = generations.old.remove(hash)?;
        generations.insert(*hash, verified.clone());
        Some(verified)
    }

    /// Remembers a token.
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

/// The hash that a token is known by.
pub fn hash(token: &str) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}
