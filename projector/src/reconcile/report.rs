//! The results of a sweep.

use std::collections::BTreeMap;

use domain::event::EventType;
use domain::key::{Entity, UserPk};
use domain::status::SweepReport;
use serde::Serialize;
use store::publish::PublishError;

use crate::record::HandleError;

/// How many differences a dry run lists.
const MAX_NAMED: usize = 100;

/// After this number of failed users and groups, a pass stops: the cause is probably common to all.
const MAX_FAILED: u64 = 100;

/// What a dry run would record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Differences {
    /// The first differences, by key.
    pub(crate) differences: Vec<Difference>,
    /// The number of events of each type.
    pub(crate) n_events: BTreeMap<EventType, u64>,
}

/// A user or a group that differs from the recorded state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// `user/42`.
    pub(crate) subject: String,
    /// The types of the events that would be recorded.
    pub(crate) events: Vec<EventType>,
}

/// The result for one user or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Agrees,
    Imported,
    Differed,
}

/// The results of one pass.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    pub(crate) report: SweepReport,
    /// Why deletions are held back; `None` if they are not.
    pub(crate) held_back_because: Option<String>,
    pub(crate) would_record: Differences,
    /// Recorded users whose key belongs to another uuid in authentik now. They are treated as missing.
    pub(super) replaced: Vec<UserPk>,
}

impl Pass {
    /// Counts the result for one user or group. Returns an error if all others would fail for the same reason.
    pub(super) fn add(&mut self, entity: Entity, result: Result<Outcome, HandleError>) -> anyhow::Result<()> {
        let cause = match result {
            Ok(Outcome::Agrees) => return Ok(()),
            Ok(Outcome::Imported) => {
                self.report.n_imported += 1;
                return Ok(());
            }
            Ok(Outcome::Differed) => {
                self.report.n_differing += 1;
                return Ok(());
            }
            Err(HandleError::DeletionRefused(cause)) => {
                self.hold_back(1, format!("{cause:#}"));
                return Ok(());
            }
            Err(HandleError::Misconfigured(cause) | HandleError::CircuitOpen(cause)) => return Err(cause),
            Err(HandleError::Retry(cause)) if !is_about_one(&cause) => return Err(cause),
            Err(HandleError::Retry(cause) | HandleError::Reject(cause)) => cause,
        };
        self.report.n_failed += 1;
        tracing::error!("{entity} is left out because it cannot be recorded: {cause:#}");
        anyhow::ensure!(
            self.report.n_failed < MAX_FAILED,
            "{MAX_FAILED} users and groups cannot be recorded; the log names each with the reason"
        );
        Ok(())
    }

    /// Adds a difference that a dry run found.
    pub(super) fn add_difference(&mut self, entity: Entity, events: Vec<EventType>) {
        for event_type in &events {
            *self.would_record.n_events.entry(*event_type).or_default() += 1;
        }
        if self.would_record.differences.len() < MAX_NAMED {
            self.would_record.differences.push(Difference { subject: entity.to_string(), events });
        }
    }

    pub(super) fn hold_back(&mut self, n_users: usize, reason: String) {
        self.report.n_held_back += n_users as u64;
        self.held_back_because = Some(reason);
    }

    /// The results of this pass and a later one together.
    pub(super) fn followed_by(self, later: Self) -> Self {
        Self { report: self.report.followed_by(later.report), ..later }
    }
}

/// Whether JetStream refused this append alone. Without an answer, all other appends would fail as well.
fn is_about_one(cause: &anyhow::Error) -> bool {
    match cause.downcast_ref() {
        Some(
            PublishError::Conflict
            | PublishError::InFlight
            | PublishError::Busy
            | PublishError::Refused { .. },
        ) => true,
        Some(PublishError::Unacknowledged(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> HandleError {
        HandleError::Reject(anyhow::anyhow!("unreadable"))
    }

    #[test]
    fn one_failure_does_not_stop_the_pass_but_a_hundred_do() {
        let mut pass = Pass::default();
        for pk in 1..100 {
            pass.add(Entity::User(pk), Err(failure())).unwrap();
        }
        assert_eq!(pass.report.n_failed, 99);
        assert!(pass.add(Entity::User(100), Err(failure())).is_err());
    }

    #[test]
    fn a_failure_common_to_all_stops_the_pass_at_once() {
        let unavailable = PublishError::Unacknowledged("no answer".to_owned());
        let refused = PublishError::Refused { code: 10_054, description: "too large".to_owned() };
        let added = |error: PublishError| {
            let cause = anyhow::Error::new(error).context("appending events");
            Pass::default().add(Entity::User(1), Err(HandleError::Retry(cause)))
        };
        assert!(added(unavailable).is_err());
        assert!(added(refused).is_ok());
        let forbidden = HandleError::Misconfigured(anyhow::anyhow!("the token is refused"));
        assert!(Pass::default().add(Entity::User(1), Err(forbidden)).is_err());
    }

    #[test]
    fn a_report_of_an_earlier_version_is_readable() {
        let stored = r#"{"n_users":1,"n_groups":2,"n_imported":3,"n_differing":4,"n_missing":5}"#;
        let report: SweepReport = serde_json::from_str(stored).unwrap();
        assert_eq!((report.n_missing, report.n_held_back, report.n_failed), (5, 0, 0));
    }
}
