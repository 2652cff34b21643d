//! The one rule by which everything is recorded, as steps that somebody else carries out.
//!
//! 1. Read the log's newest event of the entity: a position, and the state that is recorded.
//! 2. Read the source.
//! 3. Decide what makes them agree.
//! 4. Append that at the position of step 1; on a conflict begin again.
//! 5. After an append, pass again; the hint is done only after a pass that appended nothing.
//!
//! Step 5 is needed because a worker that saw "they agree" leaves no trace: another one that read the
//! source earlier can still append the older state after it. Its own second pass then corrects it.
//!
//! The order of 1 and 2 matters: what is recorded at the position is never newer than what is read after it.
//!
//! Everything that can be carried out in another order, repeated or cut off is behind a [`Step`], so the very
//! code that runs in the projector is tested over all interleavings.

use crate::decide::{RecordedState, decide_group, decide_user};
use crate::event::EventBody;
use crate::hint::{Fact, Hint};
use crate::key::{GroupId, UserPk};
use crate::snapshot::{Group, User};

/// The newest event of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEnd<S> {
    /// Its sequence; 0 where there is none.
    pub position: u64,
    /// What it says.
    pub known: RecordedState<S>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the newest event of the entity, from where no answer can be stale; then [`Rule::log_read`].
    ReadLog,
    /// Ask authentik; then [`Rule::source_read`].
    ReadSource,
    /// Look for an event that this hint caused, up to this position; then [`Rule::cause_sought`].
    SeekCause {
        /// Sequence of the last event to look at.
        until: u64,
    },
    /// Append all of these or none, where the newest event of the entity is at `position`;
    /// then [`Rule::appended`].
    Append {
        /// Expected sequence of the newest event.
        position: u64,
        /// What to append.
        events: Vec<EventBody>,
    },
    /// The hint is done.
    Done,
}

/// The position was not the expected one: somebody else appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

/// What the rule is applied to: a user or a group.
pub trait Subject {
    /// The state that is compared.
    type State: Clone;

    /// See [`decide_user`] and [`decide_group`].
    fn decide(
        &self,
        known: &RecordedState<Self::State>,
        source: Option<&Self::State>,
        fact: Option<&Fact>,
    ) -> Vec<EventBody>;

    /// A fact that the hint carries.
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
        known: &RecordedState<User>,
        source: Option<&User>,
        fact: Option<&Fact>,
    ) -> Vec<EventBody> {
        decide_user(self.pk, known, source, &self.hint, fact)
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
        known: &RecordedState<Group>,
        source: Option<&Group>,
        _: Option<&Fact>,
    ) -> Vec<EventBody> {
        decide_group(known, source, &self.hint.cause.trigger)
    }

    fn fact(&self) -> Option<&Fact> {
        None
    }
}

/// The rule, applied to one hint. Begin with [`Rule::start`] and answer each step.
#[derive(Clone, Debug)]
pub struct Rule<T: Subject> {
    subject: T,
    log_end: Option<LogEnd<T::State>>,
    source: Option<T::State>,
    /// Whether the hint's fact stands in the log, as far as this worker knows.
    fact: FactIs,
    n_appended: usize,
    #[cfg(test)]
    skip_second_pass: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FactIs {
    /// To be sought up to the position.
    Unknown,
    /// To be appended at the position.
    Missing,
    /// Recorded, or there is none.
    Settled,
}

impl<T: Subject> Rule<T> {
    /// The rule for this hint.
    pub fn new(subject: T) -> Self {
        Self {
            subject,
            log_end: None,
            source: None,
            fact: FactIs::Unknown,
            n_appended: 0,
            #[cfg(test)]
            skip_second_pass: false,
        }
    }

    /// The first step.
    pub fn start(&mut self) -> Step {
        Step::ReadLog
    }

    /// How many events were appended so far.
    pub fn n_appended(&self) -> usize {
        self.n_appended
    }

    /// What authentik said last; `None` where it is gone there.
    pub fn source(&self) -> Option<&T::State> {
        self.source.as_ref()
    }

    /// The answer to [`Step::ReadLog`].
    pub fn log_read(&mut self, log_end: LogEnd<T::State>) -> Step {
        self.log_end = Some(log_end);
        Step::ReadSource
    }

    /// The answer to [`Step::ReadSource`]: `None` where authentik does not know it.
    pub fn source_read(&mut self, source: Option<T::State>) -> Step {
        self.source = source;
        let Some(log_end) = &self.log_end else { return Step::ReadLog };
        match self.fact {
            // Where nothing would be recorded of it, it need not be sought.
            FactIs::Unknown if log_end.position > 0 && self.fact_is_due(&log_end.known) => {
                Step::SeekCause { until: log_end.position }
            }
            FactIs::Unknown | FactIs::Missing => self.cause_sought(false),
            FactIs::Settled => self.cause_sought(true),
        }
    }

    fn fact_is_due(&self, known: &RecordedState<T::State>) -> bool {
        let n_events = |fact| self.subject.decide(known, self.source.as_ref(), fact).len();
        self.subject.fact().is_some_and(|fact| n_events(Some(fact)) > n_events(None))
    }

    /// The answer to [`Step::SeekCause`]: whether there is such an event.
    pub fn cause_sought(&mut self, found: bool) -> Step {
        let Some(log_end) = &self.log_end else { return Step::ReadLog };
        self.fact = if found { FactIs::Settled } else { FactIs::Missing };
        let fact = self.subject.fact().filter(|_| !found);
        let events = self.subject.decide(&log_end.known, self.source.as_ref(), fact);
        if events.is_empty() {
            return Step::Done;
        }
        Step::Append { position: log_end.position, events }
    }

    /// The answer to [`Step::Append`]: how many events stand in the log now.
    pub fn appended(&mut self, result: Result<usize, Conflict>) -> Step {
        match result {
            Ok(n_events) => {
                self.n_appended += n_events;
                self.fact = FactIs::Settled;
                #[cfg(test)]
                if self.skip_second_pass {
                    return Step::Done;
                }
            }
            // Whoever appended may have had the same hint, delivered once more.
            Err(Conflict) => {
                self.fact = if self.fact == FactIs::Settled { FactIs::Settled } else { FactIs::Unknown }
            }
        }
        Step::ReadLog
    }
}

#[cfg(test)]
mod interleavings;
