//! What an operator wants to know at a glance: streams, backlog, projections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// The whole system, as a projector sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Inbox, events, dead letters.
    pub streams: Vec<StreamStatus>,
    /// What the projectors have before them.
    pub inbox: InboxStatus,
    /// What readers are served.
    pub projections: Vec<ProjectionStatus>,
    /// Deliveries that wait for a person.
    pub dead_letters: u64,
    /// The last full comparison with authentik; nothing before the first one.
    pub last_sweep: Option<LastSweep>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Its name.
    pub name: String,
    /// How many messages it holds.
    pub messages: u64,
    /// How much they take on disk.
    pub bytes: u64,
    /// Sequence of the first message that is kept.
    pub first_sequence: u64,
    /// Sequence of the last message that was stored.
    pub last_sequence: u64,
}

/// The backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InboxStatus {
    /// Deliveries that no projector took yet.
    pub pending: u64,
    /// Deliveries that a projector has, or that wait for another try.
    pub in_hand: u64,
}

/// One projection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: String,
    /// The generation that readers use; nothing before the first one.
    pub generation: Option<u64>,
    /// Sequence of the last event in it.
    pub checkpoint: u64,
    /// How far the newest event is ahead, in sequences.
    pub lag: u64,
}

/// The last full pass over all users and groups that was completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastSweep {
    /// When it began.
    pub began: Timestamp,
    /// When it was completed.
    pub completed: Timestamp,
    /// What it came to.
    pub report: SweepReport,
}

/// What a pass came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SweepReport {
    /// Users that authentik has.
    pub n_users: u64,
    /// Groups that authentik has.
    pub n_groups: u64,
    /// Users and groups that were recorded for the first time, as the page had them.
    pub n_imported: u64,
    /// Users and groups that differed, and were recorded by the rule.
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

impl SweepReport {
    /// Both passes in one: what they did is added up, what they found is that of the later one.
    #[must_use]
    pub fn followed_by(self, later: Self) -> Self {
        Self {
            n_imported: self.n_imported + later.n_imported,
            n_differing: self.n_differing + later.n_differing,
            n_missing: self.n_missing + later.n_missing,
            ..later
        }
    }
}
