//! How often a caller may change something: a bucket of turns each, which fills up again with time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Turns that a caller has at once.
const BURST: u32 = 10;

/// Time after which a turn comes back.
const REFILL: Duration = Duration::from_secs(6);

/// How many callers are remembered. Beyond that the ones with most turns left are forgotten first.
const MAX_CALLERS: usize = 10_000;

/// Counts the turns of the callers.
pub struct Limits {
    /// When the bucket of a caller is full again. Whose is full is not here.
    full_at: HashMap<String, Instant>,
    max_callers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { full_at: HashMap::new(), max_callers: MAX_CALLERS }
    }
}

impl Limits {
    /// Takes a turn of the caller, or says after which time there is one.
    pub fn take(&mut self, caller: &str, now: Instant) -> Result<(), Duration> {
        let missing = self.full_at.get(caller).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let after = missing + REFILL;
        if let Some(too_early) = after.checked_sub(REFILL * BURST).filter(|early| !early.is_zero()) {
            return Err(too_early);
        }
        if !self.full_at.contains_key(caller) {
            self.make_room(now);
        }
        self.full_at.insert(caller.to_owned(), now + after);
        Ok(())
    }

    fn make_room(&mut self, now: Instant) {
        if self.full_at.len() < self.max_callers {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() < self.max_callers {
            return;
        }
        // A tenth at once, so that not every newcomer costs a look at all.
        let mut times: Vec<Instant> = self.full_at.values().copied().collect();
        times.sort_unstable();
        if let Some(latest) = times.get(self.max_callers / 10) {
            self.full_at.retain(|_, full_at| *full_at > *latest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many turns a caller gets at this time.
    fn turns(limits: &mut Limits, caller: &str, now: Instant) -> u32 {
        (0..=2 * BURST).take_while(|_| limits.take(caller, now).is_ok()).count().try_into().unwrap()
    }

    #[test]
    fn a_caller_has_some_turns_at_once_and_one_more_after_a_while() {
        let (mut limits, begin) = (Limits::default(), Instant::now());
        assert_eq!(turns(&mut limits, "ada", begin), BURST);
        assert_eq!(limits.take("ada", begin), Err(REFILL));
        let almost = begin + REFILL.checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(limits.take("ada", almost), Err(Duration::from_secs(1)));
        assert_eq!(turns(&mut limits, "ada", begin + REFILL), 1);
        assert_eq!(turns(&mut limits, "ada", begin + REFILL * 4), 3);
    }

    #[test]
    fn a_bucket_is_never_more_than_full() {
        let (mut limits, begin) = (Limits::default(), Instant::now());
        assert_eq!(turns(&mut limits, "ada", begin), BURST);
        assert_eq!(turns(&mut limits, "ada", begin + REFILL * 1000), BURST);
    }

    #[test]
    fn the_turns_of_one_are_not_those_of_another() {
        let (mut limits, begin) = (Limits::default(), Instant::now());
        assert_eq!(turns(&mut limits, "ada", begin), BURST);
        assert_eq!(turns(&mut limits, "grace", begin), BURST);
    }

    #[test]
    fn memory_is_bounded_and_those_who_asked_most_are_remembered() {
        let (mut limits, begin) = (Limits { max_callers: 100, ..Limits::default() }, Instant::now());
        assert_eq!(turns(&mut limits, "greedy", begin), BURST);
        for n in 0..1_000 {
            limits.take(&n.to_string(), begin).unwrap();
            assert!(limits.full_at.len() <= 100);
        }
        assert!(limits.take("greedy", begin).is_err());
    }
}
