//! One at a time for each key, in the order of asking; any number of keys at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Lane = Arc<tokio::sync::Mutex<()>>;

/// The lanes that are in use.
#[derive(Debug)]
pub(crate) struct Lanes<K> {
    lanes: Arc<Mutex<HashMap<K, Lane>>>,
}

impl<K: Hash + Eq + Clone> Lanes<K> {
    pub(crate) fn new() -> Self {
        Self { lanes: Arc::default() }
    }

    /// A place in the lane of `key`. Places are served in the order in which this is called.
    pub(crate) fn queue(&self, key: &K) -> Place<K> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = Arc::clone(lanes.entry(key.clone()).or_default());
        Place { lanes: Arc::clone(&self.lanes), key: key.clone(), lane }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lanes.lock().unwrap().len()
    }
}

/// A place in a lane.
pub(crate) struct Place<K: Hash + Eq> {
    lanes: Arc<Mutex<HashMap<K, Lane>>>,
    key: K,
    lane: Lane,
}

impl<K: Hash + Eq> Place<K> {
    /// Waits for its turn, which lasts until the guard is dropped.
    pub(crate) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.lane).lock_owned().await
    }
}

/// The last one to leave a lane removes it.
impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        // One count is the map's, one is ours.
        if Arc::strong_count(&self.lane) <= 2 {
            lanes.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_serves_one_at_a_time_and_goes_away_with_the_last() {
        let lanes = Lanes::new();
        let (first, second, other) = (lanes.queue(&1), lanes.queue(&1), lanes.queue(&2));
        let turn = first.turn().await;
        let _other_turn = other.turn().await;
        let mut waiting = Box::pin(second.turn());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(turn);
        drop(first);
        let turn = waiting.await;
        drop(turn);
        drop(second);
        assert_eq!(lanes.len(), 1);
    }
}
