//! Projections: views that readers are served from, folded from the events alone.
//!
//! A fold is pure and works key by key, so that live folding, a rebuild and the API's in-memory copies run
//! the same code and produce the same bytes.

pub mod activity;
pub mod groups;
pub mod users;

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::Recorded;

/// Key of the checkpoint in a bucket of views. Keys of views never begin with an underscore.
pub const CHECKPOINT_KEY: &str = "_checkpoint";

/// Folds events into one kind of view.
pub trait Projection {
    /// The value stored under each key.
    type View: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync;

    /// Name of the projection.
    const NAME: &'static str;

    /// Version of the fold and of the view's fields. Raising it makes projectors rebuild.
    const VERSION: u32;

    /// Keys of the views that an event changes.
    fn keys(event: &Recorded) -> Vec<String>;

    /// The view under `key` after the event; `None` removes the view.
    fn fold(key: &str, view: Option<&Self::View>, event: &Recorded) -> Option<Self::View>;

    /// Sequence of the last event folded into the view.
    fn sequence(view: &Self::View) -> u64;
}

/// Progress of the folding of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Epoch of the stream of events; a different epoch means that the stream was replaced.
    pub epoch: String,
    /// [`Projection::VERSION`] of the code that folded.
    pub version: u32,
    /// Sequence of the last folded event.
    pub sequence: u64,
}

/// The views of a projection in memory. Tracks which keys changed since [`Views::take_changed`].
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
    /// Loads stored views that are folded up to `sequence`.
    pub fn loaded(views: BTreeMap<String, P::View>, sequence: u64) -> Self {
        Self { by_key: views, changed: BTreeSet::new(), sequence }
    }

    /// Folds one event. An event that was folded before changes nothing, so reading events twice is harmless.
    pub fn apply(&mut self, event: &Recorded) {
        if event.sequence <= self.sequence {
            return;
        }
        for key in P::keys(event) {
            let view = self.by_key.get(&key);
            // An interrupted write can leave a view ahead of its checkpoint.
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

    /// Advances past events up to `sequence` that do not concern this projection.
    pub fn advance(&mut self, sequence: u64) {
        self.sequence = self.sequence.max(sequence);
    }

    /// Sequence of the last event seen.
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

    /// Number of views changed since [`Views::take_changed`].
    pub fn n_changed(&self) -> usize {
        self.changed.len()
    }

    /// Keys of the views that changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }
}
