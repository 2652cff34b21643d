//! A circuit breaker: while JetStream does not acknowledge, one webhook at a time waits for it and the rest fail fast.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// JetStream acknowledged the last publish: every webhook may wait for it.
    #[default]
    Closed,
    /// JetStream did not acknowledge: the next webhook becomes the probe.
    Open,
    /// A probe waits for JetStream: every other webhook is refused.
    HalfOpen,
}

/// Starts closed. Clones share the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct CircuitBreaker {
    state: Arc<Mutex<State>>,
}

/// Permission to wait for JetStream.
#[derive(Debug)]
pub(crate) struct Permit {
    /// The breaker, if this permit belongs to a probe.
    probed: Option<CircuitBreaker>,
}

impl CircuitBreaker {
    /// A permit for everybody while the breaker is closed; otherwise for one probe, until its permit is dropped.
    pub(crate) fn try_acquire(&self) -> Option<Permit> {
        let mut state = self.state();
        match *state {
            State::Closed => Some(Permit { probed: None }),
            State::Open => {
                *state = State::HalfOpen;
                Some(Permit { probed: Some(self.clone()) })
            }
            State::HalfOpen => None,
        }
    }

    /// Closes the breaker, because JetStream acknowledged. Returns whether it was not closed before.
    ///
    /// Calls `report` if it was not closed, before another change of the state: reports come in the right order.
    pub(crate) fn close(&self, report: impl FnOnce()) -> bool {
        let mut state = self.state();
        let was_closed = std::mem::replace(&mut *state, State::Closed) == State::Closed;
        if !was_closed {
            report();
        }
        !was_closed
    }

    /// Opens the breaker, because JetStream did not acknowledge. Returns whether it was closed before.
    ///
    /// Calls `report` in any case, before another change of the state.
    pub(crate) fn open(&self, report: impl FnOnce()) -> bool {
        let mut state = self.state();
        let was_closed = *state == State::Closed;
        if was_closed {
            *state = State::Open;
        }
        report();
        was_closed
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.state() == State::Closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Whether the permit was given while the breaker was not closed.
    pub(crate) fn is_probe(&self) -> bool {
        self.probed.is_some()
    }
}

/// A probe that ends without closing the breaker lets the next probe in.
impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(breaker) = &self.probed {
            let mut state = breaker.state();
            if *state == State::HalfOpen {
                *state = State::Open;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_breaker_permits_everybody() {
        let breaker = CircuitBreaker::default();
        let permits: Vec<_> = (0..9).map(|_| breaker.try_acquire()).collect();
        assert!(permits.iter().flatten().filter(|permit| !permit.is_probe()).count() == 9);
    }

    #[test]
    fn an_open_breaker_permits_one_probe_at_a_time() {
        let breaker = CircuitBreaker::default();
        assert!(breaker.open(|| {}));
        for _ in 0..3 {
            let probe = breaker.try_acquire().unwrap();
            assert!(probe.is_probe());
            assert!(breaker.try_acquire().is_none());
            // A publish from before the breaker opened fails late.
            assert!(!breaker.open(|| {}));
            assert!(breaker.try_acquire().is_none());
            drop(probe);
        }
    }

    #[test]
    fn one_acknowledgement_closes_the_breaker() {
        let breaker = CircuitBreaker::default();
        breaker.open(|| {});
        let probe = breaker.try_acquire().unwrap();
        assert!(breaker.close(|| {}));
        drop(probe);
        assert!(breaker.is_closed() && !breaker.close(|| {}));
        assert!(breaker.try_acquire().is_some_and(|permit| !permit.is_probe()));
    }

    #[test]
    fn only_changes_to_closed_are_reported_but_each_failure() {
        let breaker = CircuitBreaker::default();
        let (mut n_closed, mut n_failures) = (0, 0);
        for _ in 0..2 {
            breaker.open(|| n_failures += 1);
        }
        for _ in 0..2 {
            breaker.close(|| n_closed += 1);
        }
        assert_eq!((n_failures, n_closed), (2, 1));
    }

    #[test]
    fn a_permit_from_before_the_breaker_opened_does_not_affect_probes() {
        let breaker = CircuitBreaker::default();
        let early = breaker.try_acquire().unwrap();
        breaker.open(|| {});
        let probe = breaker.try_acquire().unwrap();
        drop(early);
        assert!(breaker.try_acquire().is_none());
        drop(probe);
    }
}
