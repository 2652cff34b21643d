//! Whether authentik is asked at all: a circuit breaker without IO, without a clock and without chance.

use std::time::Duration;

use domain::timestamp::Timestamp;

use super::DirectoryError;

/// So many questions in a row that authentik does not answer open the circuit.
const MAX_FAILURES: u32 = 5;

/// How often authentik is looked at while it answers.
const CHECK: Duration = Duration::from_secs(15);

/// After a failure it is looked at soon: is it away, or was it that question?
const DOUBTFUL_CHECK: Duration = Duration::from_millis(500);

/// How long after the opening the first probe is made; each further one waits twice as long.
const FIRST_PROBE: Duration = Duration::from_secs(1);

/// The longest wait for a probe.
const LAST_PROBE: Duration = Duration::from_secs(30);

/// Closed while authentik answers, open while it does not, half open while a probe is under way.
#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    /// Counts openings and closings.
    era: Era,
    /// Probes since a question was answered. Where probes are answered and questions are not, the waits grow, too.
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

/// When a question was asked: its answer says nothing about a later era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Era(u64);

/// What others need to know of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// authentik answers.
    Closed,
    /// Closed, but the last question was not answered.
    Doubtful,
    /// No questions are asked, unless it is the probe.
    Open,
}

impl Circuit {
    /// Until authentik answered once, one failure is enough to open it.
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

    /// Whether a question may be asked; else why not.
    pub(super) fn admit(&self) -> Result<Era, DirectoryError> {
        match &self.state {
            State::Closed { .. } => Ok(self.era),
            State::Open(outage) | State::HalfOpen(outage) => Err(outage.refusal()),
        }
    }

    /// Since when and why no questions are asked.
    pub(super) fn refusal(&self) -> Option<DirectoryError> {
        self.admit().err()
    }

    /// A question was answered.
    pub(super) fn answered(&mut self, asked: Era) {
        if let State::Closed { n_failures } = &mut self.state
            && asked == self.era
        {
            *n_failures = 0;
            self.n_probes = 0;
        }
    }

    /// A question was not answered.
    pub(super) fn failed(&mut self, asked: Era, reason: &DirectoryError, now: Timestamp) {
        let State::Closed { n_failures } = &mut self.state else { return };
        if asked != self.era {
            return;
        }
        *n_failures += 1;
        let opens = match reason {
            DirectoryError::Away(_) => *n_failures >= MAX_FAILURES,
            // Whatever else is asked, it will be refused for the same reason.
            DirectoryError::Forbidden(_) | DirectoryError::NotUnderstood(_) => true,
            DirectoryError::NotAsked { .. } => false,
        };
        if opens {
            self.enter(State::Open(Outage { since: now, reason: reason.clone() }));
        }
    }

    /// Begins the one probe of an open circuit. Returns whether there is one to be made.
    pub(super) fn begin_probe(&mut self) -> bool {
        let State::Open(outage) = &self.state else { return false };
        self.state = State::HalfOpen(outage.clone());
        self.n_probes += 1;
        true
    }

    /// The probe ended.
    pub(super) fn probed(&mut self, result: Result<(), DirectoryError>) {
        let State::HalfOpen(outage) = &self.state else { return };
        match result {
            Ok(()) => self.enter(State::Closed { n_failures: 0 }),
            Err(reason) => self.state = State::Open(Outage { since: outage.since, reason }),
        }
    }

    /// How long until authentik is looked at; `spread` is a number from 0 to 1, so that not all look at once.
    pub(super) fn wait(&self, spread: f64) -> Duration {
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
        DirectoryError::NotAsked { since: self.since, reason: Box::new(self.reason.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> DirectoryError {
        DirectoryError::Away("no answer in time".to_owned())
    }

    fn now() -> Timestamp {
        "2026-11-22T08:00:00Z".parse().unwrap()
    }

    /// One that has answered.
    fn closed() -> Circuit {
        let mut circuit = Circuit::new();
        circuit.answered(circuit.admit().unwrap());
        circuit
    }

    fn fail(circuit: &mut Circuit, reason: &DirectoryError) {
        circuit.failed(circuit.admit().unwrap(), reason, now());
    }

    fn open() -> Circuit {
        let mut circuit = closed();
        for _ in 0..MAX_FAILURES {
            fail(&mut circuit, &away());
        }
        circuit
    }

    #[test]
    fn several_failures_in_a_row_open_it_and_it_says_since_when_and_why() {
        let mut circuit = closed();
        for _ in 1..MAX_FAILURES {
            fail(&mut circuit, &away());
            assert_eq!(circuit.phase(), Phase::Doubtful);
        }
        fail(&mut circuit, &away());
        assert_eq!(circuit.phase(), Phase::Open);
        let refusal = circuit.refusal().unwrap().to_string();
        assert!(refusal.contains("2026-11-22T08:00:00"), "{refusal}");
        assert!(refusal.contains("authentik is away: no answer in time"), "{refusal}");
    }

    #[test]
    fn failures_between_answers_never_open_it() {
        let mut circuit = closed();
        for _ in 0..100 {
            for _ in 1..MAX_FAILURES {
                fail(&mut circuit, &away());
            }
            circuit.answered(circuit.admit().unwrap());
        }
        assert_eq!(circuit.phase(), Phase::Closed);
    }

    #[test]
    fn a_wrong_configuration_opens_it_at_once() {
        for reason in [DirectoryError::Forbidden("no".into()), DirectoryError::NotUnderstood("<html>".into())]
        {
            let mut circuit = closed();
            fail(&mut circuit, &reason);
            assert_eq!(circuit.phase(), Phase::Open);
            assert!(circuit.refusal().unwrap().to_string().contains(&reason.to_string()));
        }
    }

    #[test]
    fn the_first_failure_opens_one_that_was_never_answered() {
        let mut circuit = Circuit::new();
        fail(&mut circuit, &away());
        assert_eq!(circuit.phase(), Phase::Open);
    }

    #[test]
    fn half_open_there_is_one_probe_and_no_question() {
        let mut circuit = open();
        assert!(circuit.begin_probe());
        assert!(!circuit.begin_probe());
        assert!(circuit.admit().is_err());
        circuit.probed(Ok(()));
        assert!(circuit.admit().is_ok());
        assert!(!circuit.begin_probe());
    }

    #[test]
    fn a_probe_that_fails_leaves_it_open_since_then_with_the_newest_reason() {
        let mut circuit = open();
        assert!(circuit.begin_probe());
        circuit.probed(Err(DirectoryError::Forbidden("token expired".into())));
        assert_eq!(circuit.phase(), Phase::Open);
        let refusal = circuit.refusal().unwrap().to_string();
        assert!(refusal.contains("token expired") && refusal.contains("2026-11-22T08:00:00"), "{refusal}");
    }

    #[test]
    fn probes_wait_longer_and_longer_up_to_half_a_minute() {
        let mut circuit = open();
        let mut waits = vec![];
        for _ in 0..12 {
            waits.push((circuit.wait(0.0), circuit.wait(1.0)));
            circuit.begin_probe();
            circuit.probed(Err(away()));
        }
        assert_eq!(waits[0], (FIRST_PROBE / 2, FIRST_PROBE));
        assert_eq!(waits[1], (FIRST_PROBE, FIRST_PROBE * 2));
        assert_eq!(waits[11], (LAST_PROBE / 2, LAST_PROBE));
    }

    #[test]
    fn the_waits_begin_anew_only_after_a_question_was_answered() {
        let mut circuit = open();
        circuit.begin_probe();
        circuit.probed(Ok(()));
        for _ in 0..MAX_FAILURES {
            fail(&mut circuit, &away());
        }
        assert_eq!(circuit.wait(1.0), FIRST_PROBE * 2, "no question was answered between");
        circuit.begin_probe();
        circuit.probed(Ok(()));
        circuit.answered(circuit.admit().unwrap());
        fail(&mut circuit, &DirectoryError::Forbidden(String::new()));
        assert_eq!(circuit.wait(1.0), FIRST_PROBE);
    }

    #[test]
    fn what_was_asked_before_it_opened_changes_nothing_after_it_closed() {
        let mut circuit = closed();
        let before = circuit.admit().unwrap();
        fail(&mut circuit, &DirectoryError::Forbidden(String::new()));
        circuit.answered(before);
        assert_eq!(circuit.phase(), Phase::Open, "a late answer does not close it");
        circuit.begin_probe();
        circuit.probed(Ok(()));
        for _ in 0..2 * MAX_FAILURES {
            circuit.failed(before, &away(), now());
        }
        assert_eq!(circuit.phase(), Phase::Closed, "late failures do not open it");
    }
}
