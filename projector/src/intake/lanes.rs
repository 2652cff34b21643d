//! Queues that process one item at a time per key, in order. Different keys are independent.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// One queue for each key in use.
#[derive(Debug)]
pub(crate) struct Lanes<K> {
    lanes: Arc<Mutex<HashMap<K, Lane>>>,
    /// How many places one lane has.
    max_places: usize,
}

#[derive(Debug, Default)]
struct Lane {
    n_places: usize,
    /// Closes when the last place in the lane is dropped.
    last: Option<oneshot::Receiver<()>>,
}

impl<K: Hash + Eq + Clone> Lanes<K> {
    /// Lanes with `max_places` places each.
    pub(crate) fn new(max_places: usize) -> Self {
        Self { lanes: Arc::default(), max_places }
    }

    /// The next place in the lane of `key`; `None` if the lane is full.
    pub(crate) fn queue(&self, key: &K) -> Option<Place<K>> {
        let (done, end) = oneshot::channel();
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(key.clone()).or_default();
        if lane.n_places >= self.max_places {
            return None;
        }
        lane.n_places += 1;
        let before = lane.last.replace(end);
        Some(Place { lanes: Arc::clone(&self.lanes), key: key.clone(), before, _done: done })
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lanes.lock().unwrap().len()
    }
}

/// A place in a lane. Dropping it starts the turn of the next place.
pub(crate) struct Place<K: Hash + Eq> {
    lanes: Arc<Mutex<HashMap<K, Lane>>>,
    key: K,
    before: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl<K: Hash + Eq> Place<K> {
    /// Waits for the turn of this place. The turn lasts until the place is dropped.
    pub(crate) async fn turn(&mut self) {
        if let Some(before) = self.before.take() {
            // Nothing is ever sent: the channel closes when the previous place is dropped.
            let _ = before.await;
        }
    }
}

/// The last place in a lane removes the lane.
impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get_mut(&self.key) {
            lane.n_places -= 1;
            if lane.n_places == 0 {
                lanes.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lane_keeps_the_order_of_its_places_and_ends_with_the_last_one() {
        let lanes = Lanes::new(3);
        let place = |key| lanes.queue(&key).unwrap();
        let (mut first, mut second, mut third) = (place(1), place(1), place(1));
        let mut other = place(2);
        // The order of the places counts, not the order of the calls of `turn`.
        let mut third_waits = Box::pin(third.turn());
        assert!(futures_util::poll!(&mut third_waits).is_pending());
        let mut second_waits = Box::pin(second.turn());
        assert!(futures_util::poll!(&mut second_waits).is_pending());
        first.turn().await;
        other.turn().await;
        drop(first);
        assert!(futures_util::poll!(&mut third_waits).is_pending());
        second_waits.await;
        drop(second);
        third_waits.await;
        drop(third);
        assert_eq!(lanes.len(), 1);
    }

    #[tokio::test]
    async fn a_full_lane_has_no_place_until_one_is_dropped() {
        let lanes = Lanes::new(2);
        let (first, _second) = (lanes.queue(&1).unwrap(), lanes.queue(&1).unwrap());
        assert!(lanes.queue(&1).is_none());
        assert!(lanes.queue(&2).is_some(), "other lanes are not full");
        drop(first);
        assert!(lanes.queue(&1).is_some());
    }
}
