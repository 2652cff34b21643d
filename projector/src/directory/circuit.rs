//! The state machine of the circuit breaker. Time and randomness are arguments; there is no IO.

use std::time::Duration;

use domain::timestamp::Timestamp;

use super::DirectoryError;

/// The circuit opens after this number of unanswered requests in a row.
const MAX_FAILURES: u32 = 5;

/// How often authentik is checked while it answers.
const CHECK: Duration = Duration::from_secs(15);

/// How soon authentik is checked after a failure, to tell an outage from one failing request.
const DOUBTFUL_CHECK: Duration = Duration::from_millis(500);

/// The longest wait before the first probe of an open circuit; it doubles with each further probe.
const FIRST_PROBE: Duration = Duration::from_secs(1);

/// The longest wait before any probe.
const LAST_PROBE: Duration = Duration::from_secs(30);

/// Closed while authentik answers, open while it does not, half open while a probe is under way.
#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    /// Changes with each opening and closing.
    era: Era,
    /// Probes since the last answered request: waits also grow if probes succeed but requests keep failing.
    n_probes: u32,
}

#[derive(Debug)]
enum State {
    Closed { n_failures: u32 },
    Open(Outage),
    HalfOpen(Outage),
}

#[derive(Clone, Debug)]
struct Outage {
    since: Timestamp,
    reason: DirectoryError,
}

/// The time between two openings or closings. A request that was sent in an earlier era does not change the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Era(u64);

/// The state without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// authentik answers; requests are sent.
    Closed,
    /// The last request failed; requests are still sent.
    Doubtful,
    /// No requests are sent except probes.
    Open,
}

impl Circuit {
    /// Until authentik answers once, one failure opens the circuit.
    pub(super) fn new() -> Self {
        Self { state: State::Closed { n_failures: MAX_FAILURES - 1 }, era: Era(0), n_probes: 0 }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Closed { n_failures: 0 } => Phase::Closed,
            State::Closed { .. } => Phase::Doubtful,
            State::Open(_) | State::HalfOpen(_) => Phase::Open,
        }
    }

    /// Permission to send a request, or the reason why not.
    pub(super) fn admit(&self) -> Result<Era, DirectoryError> {
        match &self.state {
            State::Closed { .. } => Ok(self.era),
            State::Open(outage) | State::HalfOpen(outage) => Err(outage.refusal()),
        }
    }

    /// Since when and why no requests are sent; `None` while the circuit is closed.
    pub(super) fn refusal(&self) -> Option<DirectoryError> {
        self.admit().err()
    }

    pub(super) fn record_success(&mut self, era: Era) {
        if let State::Closed { n_failures } = &mut self.state
            && era == self.era
        {
            *n_failures = 0;
            self.n_probes = 0;
        }
    }

    pub(super) fn record_failure(&mut self, era: Era, reason: &DirectoryError, now: Timestamp) {
        let State::Closed { n_failures } = &mut self.state else { return };
        if era != self.era {
            return;
        }
        *n_failures += 1;
        let opens = match reason {
            DirectoryError::Unavailable(_) => *n_failures >= MAX_FAILURES,
            // Every other request would fail for the same reason.
            DirectoryError::Forbidden(_) | DirectoryError::UnexpectedAnswer(_) => true,
            DirectoryError::CircuitOpen { .. } => false,
        };
        if opens {
            self.enter(State::Open(Outage { since: now, reason: reason.clone() }));
        }
    }

    /// Half-opens an open circuit for one probe. Returns whether the caller must send the probe.
    pub(super) fn begin_probe(&mut self) -> bool {
        let State::Open(outage) = &self.state else { return false };
        self.state = State::HalfOpen(outage.clone());
        self.n_probes += 1;
        true
    }

    /// Closes the circuit, or opens it again.
    pub(super) fn end_probe(&mut self, result: Result<(), DirectoryError>) {
        let State::HalfOpen(outage) = &self.state else { return };
        match result {
            Ok(()) => self.enter(State::Closed { n_failures: 0 }),
            Err(reason) => self.state = State::Open(Outage { since: outage.since, reason }),
        }
    }

    /// How long to wait before the next check or probe. `spread`, from 0 to 1, keeps projectors from probing at once.
    pub(super) fn wait_before_check(&self, spread: f64) -> Duration {
        match self.state {
            State::Closed { n_failures: 0 } => CHECK,
            State::Closed { .. } => DOUBTFUL_CHECK,
            State::Open(_) | State::HalfOpen(_) => {
                let longest = FIRST_PROBE.saturating_mul(1 << self.n_probes.min(10)).min(LAST_PROBE);
                longest.mul_f64(f64::midpoint(1.0, spread.clamp(0.0, 1.0)))
            }
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era = Era(self.era.0 + 1);
    }
}

impl Outage {
    fn refusal(&self) -> DirectoryError {
        DirectoryError::CircuitOpen { since: self.since, reason: Box::new(self.reason.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable() -> DirectoryError {
        DirectoryError::Unavailable("no answer in time".to_owned())
    }

    fn now() -> Timestamp {
        "2026-11-22T08:00:00Z".parse().unwrap()
    }

    /// A circuit after the first answer.
    fn closed() -> Circuit {
        let mut circuit = Circuit::new();
        circuit.record_success(circuit.admit().unwrap());
        circuit
    }

    fn fail(circuit: &mut Circuit, reason: &DirectoryError) {
        circuit.record_failure(circuit.admit().unwrap(), reason, now());
    }

    fn open() -> Circuit {
        let mut circuit = closed();
        for _ in 0..MAX_FAILURES {
            fail(&mut circuit, &unavailable());
        }
        circuit
    }

    #[test]
    fn several_failures_in_a_row_open_the_circuit_and_the_refusal_has_time_and_reason() {
        let mut circuit = closed();
        for _ in 1..MAX_FAILURES {
            fail(&mut circuit, &unavailable());
            assert_eq!(circuit.phase(), Phase::Doubtful);
        }
        fail(&mut circuit, &unavailable());
        assert_eq!(circuit.phase(), Phase::Open);
        let refusal = circuit.refusal().unwrap().to_string();
        assert!(refusal.contains("2026-11-22T08:00:00"), "{refusal}");
        assert!(refusal.contains("authentik is unavailable: no answer in time"), "{refusal}");
    }

    #[test]
    fn failures_between_answers_never_open_the_circuit() {
        let mut circuit = closed();
        for _ in 0..100 {
            for _ in 1..MAX_FAILURES {
                fail(&mut circuit, &unavailable());
            }
            circuit.record_success(circuit.admit().unwrap());
        }
        assert_eq!(circuit.phase(), Phase::Closed);
    }

    #[test]
    fn a_wrong_configuration_opens_the_circuit_at_once() {
        for reason in
            [DirectoryError::Forbidden("no".into()), DirectoryError::UnexpectedAnswer("<html>".into())]
        {
            let mut circuit = closed();
            fail(&mut circuit, &reason);
            assert_eq!(circuit.phase(), Phase::Open);
            assert!(circuit.refusal().unwrap().to_string().contains(&reason.to_string()));
        }
    }

    #[test]
    fn before_the_first_answer_one_failure_opens_the_circuit() {
        let mut circuit = Circuit::new();
        fail(&mut circuit, &unavailable());
        assert_eq!(circuit.phase(), Phase::Open);
    }

    #[test]
    fn a_half_open_circuit_allows_one_probe_and_no_request() {
        let mut circuit = open();
        assert!(circuit.begin_probe());
        assert!(!circuit.begin_probe());
        assert!(circuit.admit().is_err());
        circuit.end_probe(Ok(()));
        assert!(circuit.admit().is_ok());
        assert!(!circuit.begin_probe());
    }

    #[test]
    fn a_failed_probe_keeps_the_time_of_the_opening_and_updates_the_reason() {
        let mut circuit = open();
        assert!(circuit.begin_probe());
        circuit.end_probe(Err(DirectoryError::Forbidden("token expired".into())));
        assert_eq!(circuit.phase(), Phase::Open);
        let refusal = circuit.refusal().unwrap().to_string();
        assert!(refusal.contains("token expired") && refusal.contains("2026-11-22T08:00:00"), "{refusal}");
    }

    #[test]
    fn the_wait_before_a_probe_doubles_up_to_half_a_minute() {
        let mut circuit = open();
        let mut waits = vec![];
        for _ in 0..12 {
            waits.push((circuit.wait_before_check(0.0), circuit.wait_before_check(1.0)));
            circuit.begin_probe();
            circuit.end_probe(Err(unavailable()));
        }
        assert_eq!(waits[0], (FIRST_PROBE / 2, FIRST_PROBE));
        assert_eq!(waits[1], (FIRST_PROBE, FIRST_PROBE * 2));
        assert_eq!(waits[11], (LAST_PROBE / 2, LAST_PROBE));
    }

    #[test]
    fn the_wait_is_reset_only_after_a_request_was_answered() {
        let mut circuit = open();
        circuit.begin_probe();
        circuit.end_probe(Ok(()));
        for _ in 0..MAX_FAILURES {
            fail(&mut circuit, &unavailable());
        }
        assert_eq!(circuit.wait_before_check(1.0), FIRST_PROBE * 2, "no request was answered in between");
        circuit.begin_probe();
        circuit.end_probe(Ok(()));
        circuit.record_success(circuit.admit().unwrap());
        fail(&mut circuit, &DirectoryError::Forbidden(String::new()));
        assert_eq!(circuit.wait_before_check(1.0), FIRST_PROBE);
    }

    #[test]
    fn a_request_of_an_earlier_era_does_not_change_the_circuit() {
        let mut circuit = closed();
        let before = circuit.admit().unwrap();
        fail(&mut circuit, &DirectoryError::Forbidden(String::new()));
        circuit.record_success(before);
        assert_eq!(circuit.phase(), Phase::Open, "a late answer does not close the circuit");
        circuit.begin_probe();
        circuit.end_probe(Ok(()));
        for _ in 0..2 * MAX_FAILURES {
            circuit.record_failure(before, &unavailable(), now());
        }
        assert_eq!(circuit.phase(), Phase::Closed, "late failures do not open the circuit");
    }
}
