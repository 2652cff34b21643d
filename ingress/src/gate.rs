//! Whether webhooks may wait for JetStream. While it acknowledges nothing, only one at a time may.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// JetStream acknowledged the last time.
    #[default]
    Open,
    /// It did not.
    Closed,
    /// It did not, and a webhook is under way that will show whether it does again.
    Probing,
}

/// Open until told otherwise. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    state: Arc<Mutex<State>>,
}

/// Who holds it may wait for JetStream.
#[derive(Debug)]
pub(crate) struct Pass {
    probed: Option<Gate>,
}

impl Gate {
    /// Lets in whoever comes while it is open; after that one at a time, until that one's pass is dropped.
    pub(crate) fn enter(&self) -> Option<Pass> {
        let mut state = self.state();
        match *state {
            State::Open => Some(Pass { probed: None }),
            State::Closed => {
                *state = State::Probing;
                Some(Pass { probed: Some(self.clone()) })
            }
            State::Probing => None,
        }
    }

    /// JetStream acknowledged something. Returns whether that is news.
    pub(crate) fn open(&self) -> bool {
        std::mem::replace(&mut *self.state(), State::Open) != State::Open
    }

    /// JetStream did not acknowledge. Returns whether that is news.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.state();
        let is_news = *state == State::Open;
        if is_news {
            *state = State::Closed;
        }
        is_news
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.state() == State::Open
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Whether it was given while the gate was closed.
    pub(crate) fn is_probe(&self) -> bool {
        self.probed.is_some()
    }
}

/// However a probe ended: unless it opened the gate, the next one may try.
impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(gate) = &self.probed {
            let mut state = gate.state();
            if *state == State::Probing {
                *state = State::Closed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_gate_lets_everybody_in() {
        let gate = Gate::default();
        let passes: Vec<_> = (0..9).map(|_| gate.enter()).collect();
        assert!(passes.iter().flatten().filter(|pass| !pass.is_probe()).count() == 9);
    }

    #[test]
    fn a_closed_gate_lets_in_one_after_the_other() {
        let gate = Gate::default();
        assert!(gate.close());
        for _ in 0..3 {
            let probe = gate.enter().unwrap();
            assert!(probe.is_probe());
            assert!(gate.enter().is_none());
            // What was under way before it closed fails late.
            assert!(!gate.close());
            assert!(gate.enter().is_none());
            drop(probe);
        }
    }

    #[test]
    fn one_acknowledgement_opens_it() {
        let gate = Gate::default();
        gate.close();
        let probe = gate.enter().unwrap();
        assert!(gate.open());
        drop(probe);
        assert!(gate.is_open() && !gate.open());
        assert!(gate.enter().is_some_and(|pass| !pass.is_probe()));
    }

    #[test]
    fn who_entered_before_it_closed_keeps_no_probe_from_entering() {
        let gate = Gate::default();
        let early = gate.enter().unwrap();
        gate.close();
        let probe = gate.enter().unwrap();
        drop(early);
        assert!(gate.enter().is_none());
        drop(probe);
    }
}
