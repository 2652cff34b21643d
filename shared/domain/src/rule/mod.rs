//! The rule that records every event, as a state machine without IO: the caller carries out its steps.
//!
//! 1. Read the newest event of the entity from the log: its position and the recorded state.
//! 2. Read the source, that is authentik.
//! 3. Decide which events bring the recorded state in line with the source.
//! 4. Append them at the position of step 1. On a conflict start again.
//! 5. After an append, start again. The hint is done only after a pass that appended nothing.
//!
//! Step 5 is needed because a worker that finds agreement writes nothing: another worker that read the source
//! earlier can still append the older state afterwards. The second pass of that worker then corrects it.
//!
//! Step 1 must come before step 2, so that the recorded state is never newer than the state of the source.
//!
//! Each action that can be reordered, repeated or interrupted is a [`Step`], so tests run the projector's
//! code in all interleavings of two workers.

use crate::decide::{RecordedState, decide_group, decide_user};
use crate::event::EventBody;
use crate::hint::{Fact, Hint};
use crate::key::{GroupId, UserPk};
use crate::snapshot::{Group, User};

/// End of an entity's log: its newest event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEnd<S> {
    /// Sequence of the newest event; 0 if there is none.
    pub position: u64,
    /// The state that it records.
    pub recorded: RecordedState<S>,
}

/// The action that the caller carries out next, and the method that takes its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the entity's newest event from the stream leader (replicas may lag); then [`Rule::log_read`].
    ReadLog,
    /// Read the entity from authentik; then [`Rule::source_read`].
    ReadSource,
    /// Search the log for an event that this hint caused; then [`Rule::cause_sought`].
    SeekCause {
        /// Sequence of the last event to search.
        until: u64,
    },
    /// Append all events or none, on the condition that the entity's newest event is at `position`; then
    /// [`Rule::appended`].
    Append {
        /// Expected sequence of the newest event.
        position: u64,
        /// Events to append.
        events: Vec<EventBody>,
    },
    /// The hint is done: acknowledge it.
    Done,
}

/// An append failed because the position was not the expected one: another worker appended first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

/// What the rule is applied to: a hint about a user or a group.
pub trait Subject {
    /// The compared state.
    type State: Clone;

    /// See [`decide_user`] and [`decide_group`].
    fn decide(
        &self,
        recorded: &RecordedState<Self::State>,
        source: Option<&Self::State>,
        fact: Option<&Fact>,
    ) -> Vec<EventBody>;

    /// The fact that the hint carries.
    fn fact(&self) -> Option<&Fact>;
}

/// A hint about a user.
#[derive(Clone, Debug)]
pub struct AboutUser {
    /// The user.
    pub pk: UserPk,
    /// The hint.
    pub hint: Hint,
}

impl Subject for AboutUser {
    type State = User;

    fn decide(
        &self,
        recorded: &RecordedState<User>,
        source: Option<&User>,
        fact: Option<&Fact>,
    ) -> Vec<EventBody> {
        decide_user(self.pk, recorded, source, &self.hint, fact)
    }

    fn fact(&self) -> Option<&Fact> {
        self.hint.fact.as_ref()
    }
}

/// A hint about a group.
#[derive(Clone, Debug)]
pub struct AboutGroup {
    /// The group.
    pub id: GroupId,
    /// The hint.
    pub hint: Hint,
}

impl Subject for AboutGroup {
    type State = Group;

    fn decide(
        &self,
        recorded: &RecordedState<Group>,
        source: Option<&Group>,
        _: Option<&Fact>,
    ) -> Vec<EventBody> {
        decide_group(recorded, source, &self.hint.cause.trigger)
    }

    fn fact(&self) -> Option<&Fact> {
        None
    }
}

/// The rule, applied to one hint. Begin with [`Rule::start`], then report the result of each step.
#[derive(Clone, Debug)]
pub struct Rule<T: Subject> {
    subject: T,
    log_end: Option<LogEnd<T::State>>,
    source: Option<T::State>,
    /// Whether this worker knows that the hint's fact is in the log.
    fact: FactStatus,
    n_appended: usize,
    #[cfg(test)]
    skip_second_pass: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FactStatus {
    /// The log must be searched for the fact.
    Unknown,
    /// The log does not contain the fact: append it.
    Missing,
    /// The fact is recorded, or the hint has none.
    Settled,
}

impl<T: Subject> Rule<T> {
    /// Starts the rule for one hint.
    pub fn new(subject: T) -> Self {
        Self {
            subject,
            log_end: None,
            source: None,
            fact: FactStatus::Unknown,
            n_appended: 0,
            #[cfg(test)]
            skip_second_pass: false,
        }
    }

    /// The first step.
    pub fn start(&mut self) -> Step {
        Step::ReadLog
    }

    /// Number of events appended so far.
    pub fn n_appended(&self) -> usize {
        self.n_appended
    }

    /// The last state that authentik reported; `None` if the entity does not exist there.
    pub fn source(&self) -> Option<&T::State> {
        self.source.as_ref()
    }

    /// Takes the result of [`Step::ReadLog`].
    pub fn log_read(&mut self, log_end: LogEnd<T::State>) -> Step {
        self.log_end = Some(log_end);
        Step::ReadSource
    }

    /// Takes the result of [`Step::ReadSource`]: `None` if the entity does not exist in authentik.
    pub fn source_read(&mut self, source: Option<T::State>) -> Step {
        self.source = source;
        let Some(log_end) = &self.log_end else { return Step::ReadLog };
        match self.fact {
            // A fact that would not be recorded needs no search.
            FactStatus::Unknown if log_end.position > 0 && self.would_record_fact(&log_end.recorded) => {
                Step::SeekCause { until: log_end.position }
            }
            FactStatus::Unknown | FactStatus::Missing => self.cause_sought(false),
            FactStatus::Settled => self.cause_sought(true),
        }
    }

    fn would_record_fact(&self, recorded: &RecordedState<T::State>) -> bool {
        let n_events = |fact| self.subject.decide(recorded, self.source.as_ref(), fact).len();
        self.subject.fact().is_some_and(|fact| n_events(Some(fact)) > n_events(None))
    }

    /// Takes the result of [`Step::SeekCause`]: whether the hint caused an event.
    pub fn cause_sought(&mut self, found: bool) -> Step {
        let Some(log_end) = &self.log_end else { return Step::ReadLog };
        self.fact = if found { FactStatus::Settled } else { FactStatus::Missing };
        let fact = self.subject.fact().filter(|_| !found);
        let events = self.subject.decide(&log_end.recorded, self.source.as_ref(), fact);
        if events.is_empty() {
            return Step::Done;
        }
        Step::Append { position: log_end.position, events }
    }

    /// Takes the result of [`Step::Append`]: the number of events that were appended.
    pub fn appended(&mut self, result: Result<usize, Conflict>) -> Step {
        match result {
            Ok(n_events) => {
                self.n_appended += n_events;
                self.fact = FactStatus::Settled;
                #[cfg(test)]
                if self.skip_second_pass {
                    return Step::Done;
                }
            }
            // The other worker may have processed a redelivery of the same hint.
            Err(Conflict) => {
                self.fact =
                    if self.fact == FactStatus::Settled { FactStatus::Settled } else { FactStatus::Unknown }
            }
        }
        Step::ReadLog
    }
}

#[cfg(test)]
mod interleavings;
