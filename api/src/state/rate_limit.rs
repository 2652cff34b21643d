//! Limits how often each caller may change something, with one token bucket per caller.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Capacity of a bucket: changes that a caller can make at once.
const BURST: u32 = 10;

/// Time after which a caller may make one more change.
const REFILL: Duration = Duration::from_secs(6);

/// Maximum number of remembered callers. Beyond it, the callers with the fullest buckets are forgotten first.
const MAX_CALLERS: usize = 10_000;

/// Counts the changes of each caller.
pub struct RateLimiter {
    /// When the bucket of each caller is full again. Callers with a full bucket need no entry.
    full_at: HashMap<String, Instant>,
    max_callers: usize,
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self { full_at: HashMap::new(), max_callers: MAX_CALLERS }
    }
}

impl RateLimiter {
    /// Counts a change by the caller. An error is the time after which the caller may change something again.
    pub fn check(&mut self, caller: &str, now: Instant) -> Result<(), Duration> {
        let until_full =
            self.full_at.get(caller).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let until_full = until_full + REFILL;
        if let Some(wait) = until_full.checked_sub(REFILL * BURST).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        if !self.full_at.contains_key(caller) {
            self.make_room(now);
        }
        self.full_at.insert(caller.to_owned(), now + until_full);
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
        // Forget a tenth of the callers at once, so that not every new caller costs a scan.
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

    /// How many changes a caller can make at this time.
    fn changes(limiter: &mut RateLimiter, caller: &str, now: Instant) -> u32 {
        (0..=2 * BURST).take_while(|_| limiter.check(caller, now).is_ok()).count().try_into().unwrap()
    }

    #[test]
    fn a_caller_can_make_a_burst_of_changes_and_one_more_per_refill_time() {
        let (mut limiter, begin) = (RateLimiter::default(), Instant::now());
        assert_eq!(changes(&mut limiter, "ada", begin), BURST);
        assert_eq!(limiter.check("ada", begin), Err(REFILL));
        let almost = begin + REFILL.checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(limiter.check("ada", almost), Err(Duration::from_secs(1)));
        assert_eq!(changes(&mut limiter, "ada", begin + REFILL), 1);
        assert_eq!(changes(&mut limiter, "ada", begin + REFILL * 4), 3);
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_capacity() {
        let (mut limiter, begin) = (RateLimiter::default(), Instant::now());
        assert_eq!(changes(&mut limiter, "ada", begin), BURST);
        assert_eq!(changes(&mut limiter, "ada", begin + REFILL * 1000), BURST);
    }

    #[test]
    fn each_caller_has_a_separate_limit() {
        let (mut limiter, begin) = (RateLimiter::default(), Instant::now());
        assert_eq!(changes(&mut limiter, "ada", begin), BURST);
        assert_eq!(changes(&mut limiter, "grace", begin), BURST);
    }

    #[test]
    fn memory_is_bounded_and_the_most_active_callers_are_remembered() {
        let (mut limiter, begin) =
            (RateLimiter { max_callers: 100, ..RateLimiter::default() }, Instant::now());
        assert_eq!(changes(&mut limiter, "busy", begin), BURST);
        for n in 0..1_000 {
            limiter.check(&n.to_string(), begin).unwrap();
            assert!(limiter.full_at.len() <= 100);
        }
        assert!(limiter.check("busy", begin).is_err());
    }
}
