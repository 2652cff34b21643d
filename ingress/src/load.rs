//! Counts the webhooks that wait for JetStream, and measures how long they wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::choice::{Acknowledgements, Choice, MIN_BATCH, Way};

/// Most webhooks that wait. authentik would give up before the end of a longer queue is stored.
pub(crate) const MAX_WAITING: usize = 1024;

/// The current load. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    n_waiting: AtomicUsize,
    /// A copy of the chosen way, which each arrival reads without the lock.
    is_in_batches: AtomicBool,
    choice: Mutex<Choice>,
}

/// A webhook that waits for JetStream. Dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct Waiting {
    counted_in: Load,
    /// How many webhooks waited when it arrived, itself included.
    load_on_arrival: usize,
    arrival: Instant,
    way: Way,
}

impl Load {
    pub(crate) fn new() -> Self {
        let choice = Choice::new(Instant::now());
        let (n_waiting, is_in_batches) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { n_waiting, is_in_batches, choice: Mutex::new(choice) }) }
    }

    /// Counts a webhook that begins to wait. `None` if too many wait.
    pub(crate) fn arrive(&self) -> Option<Waiting> {
        let n_waiting = self.shared.n_waiting.fetch_add(1, Ordering::Relaxed) + 1;
        let is_in_batches = n_waiting >= MIN_BATCH && self.shared.is_in_batches.load(Ordering::Relaxed);
        let way = if is_in_batches { Way::Batches } else { Way::OneByOne };
        let waiting =
            Waiting { counted_in: self.clone(), load_on_arrival: n_waiting, arrival: Instant::now(), way };
        (n_waiting <= MAX_WAITING).then_some(waiting)
    }

    /// Measures webhooks that were published the same way and are acknowledged now.
    pub(crate) fn acknowledge<'a>(&self, webhooks: impl IntoIterator<Item = &'a Waiting>) {
        let now = Instant::now();
        let mut webhooks = webhooks.into_iter().filter(|waiting| waiting.load_on_arrival >= MIN_BATCH);
        let Some(first) = webhooks.next() else { return };
        let alone = first.acknowledgement(now);
        let all =
            webhooks.map(|waiting| waiting.acknowledgement(now)).fold(alone, |sum, next| Acknowledgements {
                n_webhooks: sum.n_webhooks + next.n_webhooks,
                load: sum.load + next.load,
                waited: sum.waited + next.waited,
                ..sum
            });
        let mut choice = self.shared.choice.lock().unwrap_or_else(PoisonError::into_inner);
        choice.record(&all, now);
        self.shared.is_in_batches.store(choice.way() == Way::Batches, Ordering::Relaxed);
    }
}

impl Waiting {
    /// How to publish it.
    pub(crate) fn way(&self) -> Way {
        self.way
    }

    fn acknowledgement(&self, now: Instant) -> Acknowledgements {
        let waited: Duration = now - self.arrival;
        Acknowledgements { way: self.way, n_webhooks: 1, load: self.load_on_arrival, waited }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.counted_in.shared.n_waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_webhooks_wait_than_the_maximum() {
        let load = Load::new();
        let mut waiting: Vec<_> = std::iter::from_fn(|| load.arrive()).collect();
        assert_eq!(waiting.len(), MAX_WAITING);
        assert!(load.arrive().is_none());
        waiting.pop();
        assert!(load.arrive().is_some());
    }

    #[test]
    fn a_few_webhooks_are_published_one_by_one_whatever_the_choice_is() {
        let load = Load::new();
        load.shared.is_in_batches.store(true, Ordering::Relaxed);
        let waiting: Vec<_> = std::iter::from_fn(|| load.arrive()).take(MIN_BATCH + 1).collect();
        let n_one_by_one = waiting.iter().filter(|waiting| waiting.way() == Way::OneByOne).count();
        assert_eq!(n_one_by_one, MIN_BATCH - 1);
    }

    #[test]
    fn the_way_follows_the_measurements() {
        let load = Load::new();
        let waiting: Vec<_> = std::iter::from_fn(|| load.arrive()).take(100).collect();
        assert!(waiting.iter().all(|waiting| waiting.way() == Way::OneByOne));
        // The measurement is complete, so a trial begins.
        load.acknowledge(&waiting);
        assert_eq!(load.arrive().map(|waiting| waiting.way()), Some(Way::Batches));
    }
}
