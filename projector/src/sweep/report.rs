//! What comparing comes to.

use std::collections::BTreeMap;

use domain::event::EventType;
use domain::key::{Entity, UserPk};
use serde::{Deserialize, Serialize};
use store::publish::PublishError;

use crate::record::HandleError;

/// How many differences a dry run names.
const MAX_NAMED: usize = 100;

/// How many users and groups may fail before that is taken for a failure of everything.
const MAX_FAILED: u64 = 100;

/// What a pass came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Users that authentik has.
    pub n_users: u64,
    /// Groups that authentik has.
    pub n_groups: u64,
    /// Users and groups that were recorded for the first time, as the page had them.
    pub n_imported: u64,
    /// Users and groups that differed, those that are gone among them, and were recorded by the rule.
    pub n_differing: u64,
    /// Users and groups that are recorded and were not met.
    pub n_missing: u64,
    /// Users who were not met, and whom the guard lets nobody record as deleted.
    #[serde(default)]
    pub n_held_back: u64,
    /// Users and groups that could not be compared or recorded; the log names them.
    #[serde(default)]
    pub n_failed: u64,
}

impl Report {
    /// Both passes in one: what they did is added up, what they found is that of the later one.
    fn followed_by(self, later: Self) -> Self {
        Self {
            n_imported: self.n_imported + later.n_imported,
            n_differing: self.n_differing + later.n_differing,
            n_missing: self.n_missing + later.n_missing,
            ..later
        }
    }
}

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
    pub(crate) report: Report,
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
        let report: Report = serde_json::from_str(stored).unwrap();
        assert_eq!((report.n_missing, report.n_held_back, report.n_failed), (5, 0, 0));
    }
}
