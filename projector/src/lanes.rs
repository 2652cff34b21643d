//! One at a time for each key, in the order of queueing; any number of keys at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// The lanes that are in use.
#[derive(Debug)]
pub(crate) struct Lanes<K> {
    lanes: Arc<Mutex<HashMap<K, Lane>>>,
}

#[derive(Debug, Default)]
struct Lane {
    n_places: usize,
    /// Ends with the place that is last in the lane.
    last: Option<oneshot::Receiver<()>>,
}

impl<K: Hash + Eq + Clone> Lanes<K> {
    pub(crate) fn new() -> Self {
        Self { lanes: Arc::default() }
    }

    /// A place in the lane of `key`, behind those that were taken before.
    pub(crate) fn queue(&self, key: &K) -> Place<K> {
        let (done, end) = oneshot::channel();
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(key.clone()).or_default();
        lane.n_places += 1;
        let before = lane.last.replace(end);
        Place { lanes: Arc::clone(&self.lanes), key: key.clone(), before, _done: done }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lanes.lock().unwrap().len()
    }
}

/// A place in a lane; the next one's turn comes when it is dropped.
pub(crate) struct Place<K: Hash + Eq> {
    lanes: Arc<Mutex<HashMap<K, Lane>>>,
    key: K,
    before: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl<K: Hash + Eq> Place<K> {
    /// Waits for its turn, which lasts until the place is dropped.
    pub(crate) async fn turn(&mut self) {
        if let Some(before) = self.before.take() {
            // Nothing is ever sent: it ends when the place before is dropped.
            let _ = before.await;
        }
    }
}

/// The last one to leave a lane removes it.
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
    async fn a_lane_serves_in_the_order_of_queueing_and_goes_away_with_the_last() {
        let lanes = Lanes::new();
        let (mut first, mut second, mut third) = (lanes.queue(&1), lanes.queue(&1), lanes.queue(&1));
        let mut other = lanes.queue(&2);
        // Who asks first is not who is first.
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
}
