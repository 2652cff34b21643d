//! What comparing comes to.

use std::collections::BTreeMap;

use domain::event::EventType;
use domain::key::{Entity, UserPk};
use domain::status::SweepReport;
use serde::Serialize;
use store::publish::PublishError;

use crate::record::HandleError;

/// How many differences a dry run names.
const MAX_NAMED: usize = 100;

/// How many users and groups may fail before that is taken for a failure of everything.
const MAX_FAILED: u64 = 100;

/// What a dry run would record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Differences {
    /// The first of them, by key.
    pub(crate) differences: Vec<Difference>,
    /// How many events of each type.
    pub(crate) n_events: BTreeMap<EventType, u64>,
}

/// A user or a group that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// `user/42`.
    pub(crate) subject: String,
    /// What would be recorded.
    pub(crate) events: Vec<EventType>,
}

/// What was done about one user or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Agrees,
    Imported,
    Differed,
}

/// What a pass found.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    pub(crate) report: SweepReport,
    /// Why deletions are held back, where they are.
    pub(crate) stopped: Option<String>,
    pub(crate) would_record: Differences,
    /// Users whose key means somebody else now: one is to be recorded as deleted.
    pub(super) replaced: Vec<UserPk>,
}

impl Pass {
    /// Takes in what became of one user or group. An error is one that all others would share.
    pub(super) fn take(
        &mut self,
        entity: Entity,
        result: Result<Outcome, HandleError>,
    ) -> anyhow::Result<()> {
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
            Err(HandleError::Stopped(cause)) => {
                self.hold_back(1, format!("{cause:#}"));
                return Ok(());
            }
            Err(HandleError::Misconfigured(cause) | HandleError::NotAsked(cause)) => return Err(cause),
            Err(HandleError::Retry(cause)) if !is_about_one(&cause) => return Err(cause),
            Err(HandleError::Retry(cause) | HandleError::Reject(cause)) => cause,
        };
        self.report.n_failed += 1;
        tracing::error!("{entity} is left out, it cannot be recorded: {cause:#}");
        anyhow::ensure!(
            self.report.n_failed < MAX_FAILED,
            "{MAX_FAILED} users and groups cannot be recorded: see what is logged of each"
        );
        Ok(())
    }

    /// Notes what a dry run found.
    pub(super) fn would_record(&mut self, entity: Entity, events: Vec<EventType>) {
        for event_type in &events {
            *self.would_record.n_events.entry(*event_type).or_default() += 1;
        }
        if self.would_record.differences.len() < MAX_NAMED {
            self.would_record.differences.push(Difference { subject: entity.to_string(), events });
        }
    }

    pub(super) fn hold_back(&mut self, n_users: usize, reason: String) {
        self.report.n_held_back += n_users as u64;
        self.stopped = Some(reason);
    }

    /// This pass, and another one after it.
    pub(super) fn followed_by(self, later: Self) -> Self {
        Self { report: self.report.followed_by(later.report), ..later }
    }
}

/// Whether JetStream answered, and would answer as well for others.
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
        HandleError::Reject(anyhow::anyhow!("out of luck"))
    }

    #[test]
    fn one_that_fails_stops_nobody_and_a_hundred_stop_the_pass() {
        let mut pass = Pass::default();
        for pk in 1..100 {
            pass.take(Entity::User(pk), Err(failure())).unwrap();
        }
        assert_eq!(pass.report.n_failed, 99);
        assert!(pass.take(Entity::User(100), Err(failure())).is_err());
    }

    #[test]
    fn what_the_others_would_share_ends_the_pass_at_once() {
        let away = PublishError::Unacknowledged("nobody answers".to_owned());
        let refused = PublishError::Refused { code: 10_054, description: "too large".to_owned() };
        let taken = |error: PublishError| {
            let cause = anyhow::Error::new(error).context("appending events");
            Pass::default().take(Entity::User(1), Err(HandleError::Retry(cause)))
        };
        assert!(taken(away).is_err());
        assert!(taken(refused).is_ok());
        let forbidden = HandleError::Misconfigured(anyhow::anyhow!("the token is refused"));
        assert!(Pass::default().take(Entity::User(1), Err(forbidden)).is_err());
    }

    #[test]
    fn a_report_of_an_earlier_version_reads() {
        let stored = r#"{"n_users":1,"n_groups":2,"n_imported":3,"n_differing":4,"n_missing":5}"#;
        let report: SweepReport = serde_json::from_str(stored).unwrap();
        assert_eq!((report.n_missing, report.n_held_back, report.n_failed), (5, 0, 0));
    }
}
