//! The state of the system for operators: streams, backlog, projections, reconciliation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// State of the whole system, as one projector sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The streams of the inbox, the events and the dead letters.
    pub streams: Vec<StreamStatus>,
    /// Backlog of the projectors.
    pub inbox: InboxStatus,
    /// The projections that readers are served from.
    pub projections: Vec<ProjectionStatus>,
    /// Number of dead letters.
    pub dead_letters: u64,
    /// The last completed sweep; `None` before the first one.
    pub last_sweep: Option<LastSweep>,
}

/// State of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Name of the stream.
    pub name: String,
    /// Number of stored messages.
    pub messages: u64,
    /// Size on disk in bytes.
    pub bytes: u64,
    /// Sequence of the oldest stored message.
    pub first_sequence: u64,
    /// Sequence of the newest message ever stored.
    pub last_sequence: u64,
}

/// Backlog of the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InboxStatus {
    /// Deliveries that no projector has received yet.
    pub pending: u64,
    /// Deliveries in progress: a projector is working on them, or they wait for a retry.
    pub in_hand: u64,
}

/// State of one projection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectionStatus {
    /// Name of the projection.
    pub name: String,
    /// The generation that readers use; null before the first one.
    pub generation: Option<u64>,
    /// Sequence of the last folded event.
    pub checkpoint: u64,
    /// Sequence of the newest event minus `checkpoint`.
    pub lag: u64,
}

/// The last completed comparison of all users and groups with authentik.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastSweep {
    /// When it started.
    pub began: Timestamp,
    /// When it was completed.
    pub completed: Timestamp,
    /// What it found and did.
    pub report: SweepReport,
}

/// What a sweep found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SweepReport {
    /// Number of users in authentik.
    pub n_users: u64,
    /// Number of groups in authentik.
    pub n_groups: u64,
    /// Users and groups recorded for the first time, with the state in authentik's list.
    pub n_imported: u64,
    /// Users and groups whose recorded state differed and was corrected.
    pub n_differing: u64,
    /// Recorded users and groups that were missing from authentik's lists.
    pub n_missing: u64,
    /// Missing users whose deletion the brake holds back.
    #[serde(default)]
    pub n_held_back: u64,
    /// Users and groups that could not be compared or recorded; the logs give their keys and the reason.
    #[serde(default)]
    pub n_failed: u64,
}

impl SweepReport {
    /// Combines two walks of one sweep: corrections are added, other counts are those of the later walk.
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
