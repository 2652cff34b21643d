//! Views: what readers are served, folded from the events and from nothing else.
//!
//! A fold is pure and works key by key, so that live folding, a rebuild and a reader that follows the stream
//! in memory are the same code and give the same bytes.

pub mod activity;
pub mod groups;
pub mod users;

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::Recorded;

/// Key of the checkpoint among the views of a bucket. No view has a key that begins with an underscore.
pub const CHECKPOINT_KEY: &str = "_checkpoint";

/// How one kind of view is folded.
pub trait Projection {
    /// What is kept under each key.
    type View: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync;

    /// Name of the projection.
    const NAME: &'static str;

    /// Raised when the fold or the view changes: readers and runners then need a rebuild.
    const VERSION: u32;

    /// Keys of the views that the event changes.
    fn keys(event: &Recorded) -> Vec<String>;

    /// The view under `key` after the event; `None` where the event must leave no view there.
    fn fold(key: &str, view: Option<&Self::View>, event: &Recorded) -> Option<Self::View>;

    /// Sequence of the last event that the view took in.
    fn sequence(view: &Self::View) -> u64;
}

/// Up to where a bucket is folded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The stream's epoch: another one means another stream.
    pub epoch: String,
    /// Version of the projection that folded.
    pub version: u32,
    /// Sequence of the last event taken in.
    pub sequence: u64,
}

/// The views of a projection in memory, and which of them changed since they were last taken.
#[derive(Clone, Debug)]
pub struct Views<P: Projection> {
    by_key: BTreeMap<String, P::View>,
    changed: BTreeSet<String>,
    sequence: u64,
}

impl<P: Projection> Default for Views<P> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), changed: BTreeSet::new(), sequence: 0 }
    }
}

impl<P: Projection> Views<P> {
    /// Views as they were stored, folded up to `sequence`.
    pub fn loaded(views: BTreeMap<String, P::View>, sequence: u64) -> Self {
        Self { by_key: views, changed: BTreeSet::new(), sequence }
    }

    /// Takes in one event. One that was taken in before changes nothing, so a repeated read is harmless.
    pub fn apply(&mut self, event: &Recorded) {
        if event.sequence <= self.sequence {
            return;
        }
        for key in P::keys(event) {
            let view = self.by_key.get(&key);
            // A write that was cut off can leave a view ahead of its checkpoint.
            if view.is_some_and(|view| P::sequence(view) >= event.sequence) {
                continue;
            }
            match P::fold(&key, view, event) {
                Some(view) => self.by_key.insert(key.clone(), view),
                None => self.by_key.remove(&key),
            };
            self.changed.insert(key);
        }
        self.sequence = event.sequence;
    }

    /// Notes that events up to `sequence` were seen, though they concern nothing here.
    pub fn advance(&mut self, sequence: u64) {
        self.sequence = self.sequence.max(sequence);
    }

    /// Sequence of the last event taken in.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The view under a key.
    pub fn get(&self, key: &str) -> Option<&P::View> {
        self.by_key.get(key)
    }

    /// All views in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &P::View)> {
        self.by_key.iter()
    }

    /// How many views changed since they were last taken.
    pub fn n_changed(&self) -> usize {
        self.changed.len()
    }

    /// The keys that changed since this was last called.
    pub fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }
}
