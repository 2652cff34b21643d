//! Commands that the API sends to projectors on behalf of an operator: requests and replies as JSON.
//!
//! A request is published to its command's subject. One projector replies.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::brake::BrakeStatus;
use crate::key::{DeliveryId, UserPk};
use crate::operation::Operation;
use crate::status::Status;
use crate::timestamp::Timestamp;

/// NATS queue group of the projectors, so that one of them receives a command. [`GetHealth`] reaches all.
pub const QUEUE_GROUP: &str = "projector";

/// A command that a projector can carry out.
pub trait Command: Serialize + DeserializeOwned + Send {
    /// The answer on success.
    type Answer: Serialize + DeserializeOwned + Send;

    /// Name of the command: last token of its subject.
    const NAME: &'static str;
}

/// A command and the user who requested it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<C> {
    /// Primary key of the operator; `None` if that user is not recorded.
    pub asked_by: Option<UserPk>,
    /// The command.
    #[serde(flatten)]
    pub command: C,
}

/// A reply: `{"ok": …}` or `{"error": …}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply<T> {
    /// The answer of the command.
    Ok(T),
    /// Why the command was not carried out.
    Error(Failure),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// Kind of the failure, for callers that branch on it.
    pub kind: FailureKind,
    /// What is wrong and what to do, as text for a person.
    pub detail: String,
}

/// Kinds of failure that a caller can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// No object has the requested name or id.
    NotFound,
    /// Another operation in progress excludes this one.
    Conflict,
    /// The request cannot be parsed or is unknown.
    BadRequest,
    /// A dependency is unavailable; the same command can succeed later.
    Unavailable,
}

impl Failure {
    /// A failure; `detail` says what is wrong and what to do.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl<T> From<Result<T, Failure>> for Reply<T> {
    fn from(result: Result<T, Failure>) -> Self {
        match result {
            Ok(answer) => Self::Ok(answer),
            Err(failure) => Self::Error(failure),
        }
    }
}

impl<T> From<Reply<T>> for Result<T, Failure> {
    fn from(reply: Reply<T>) -> Self {
        match reply {
            Reply::Ok(answer) => Ok(answer),
            Reply::Error(failure) => Err(failure),
        }
    }
}

/// Returns the state of streams, backlog and projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetStatus {}

impl Command for GetStatus {
    type Answer = Status;
    const NAME: &'static str = "status";
}

/// Returns the health of a projector. Every projector answers for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetHealth {}

impl Command for GetHealth {
    type Answer = ProjectorHealth;
    const NAME: &'static str = "health";
}

/// Health of one projector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectorHealth {
    /// Identifies the process; changes with each restart.
    pub id: String,
    /// True if no condition fails.
    pub ready: bool,
    /// Why the projector is not ready: failing condition to explanation.
    pub failures: BTreeMap<String, String>,
}

/// Returns the state of the deletion brake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetBrake {}

impl Command for GetBrake {
    type Answer = BrakeStatus;
    const NAME: &'static str = "brake";
}

/// Confirms that users were deleted: lets the brake pass more deletions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmDeletions {
    /// How many more deletions to allow.
    pub n_deletions: u64,
}

impl Command for ConfirmDeletions {
    type Answer = BrakeStatus;
    const NAME: &'static str = "confirm-deletions";
}

/// Returns a page of the dead letters, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListDeadLetters {
    /// `next` of the previous page; 0 for the first page.
    pub after: u64,
    /// Maximum number of dead letters in the page.
    pub limit: usize,
}

impl Command for ListDeadLetters {
    type Answer = DeadLetterPage;
    const NAME: &'static str = "list-dead-letters";
}

/// A page of dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterPage {
    /// Oldest first; fewer than `limit` if their reasons are long.
    pub dead_letters: Vec<DeadLetter>,
    /// `after` of the next page; `None` on the last page.
    pub next: Option<u64>,
}

/// A delivery that was set aside because no retry can succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// Id of the delivery.
    pub id: DeliveryId,
    /// Why it was set aside.
    pub reason: String,
    /// Number of attempts to process it.
    pub attempts: u64,
    /// When it was received.
    pub first_failure: Option<Timestamp>,
    /// When it was set aside.
    pub last_failure: Option<Timestamp>,
}

/// Returns one dead letter with its headers and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowDeadLetter {
    /// Id of the delivery.
    pub id: DeliveryId,
}

impl Command for ShowDeadLetter {
    type Answer = DeadLetterContent;
    const NAME: &'static str = "show-dead-letter";
}

/// A dead letter with its headers and payload, which can contain personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterContent {
    /// The fields that a list shows.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// Headers of the original delivery.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Payload as text: authentik sends only JSON.
    pub payload: String,
}

/// Moves a dead letter back to the inbox under a new delivery id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayDeadLetter {
    /// Id of the delivery.
    pub id: DeliveryId,
}

impl Command for ReplayDeadLetter {
    type Answer = Replayed;
    const NAME: &'static str = "replay-dead-letter";
}

/// Result of a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    /// Id of the dead letter, which no longer exists.
    pub id: DeliveryId,
    /// Id of the new delivery in the inbox.
    pub replay: DeliveryId,
}

/// Moves all current dead letters back to the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayDeadLetters {}

impl Command for ReplayDeadLetters {
    type Answer = Operation;
    const NAME: &'static str = "replay-dead-letters";
}

/// Deletes a dead letter permanently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropDeadLetter {
    /// Id of the delivery.
    pub id: DeliveryId,
}

impl Command for DropDeadLetter {
    type Answer = DeadLetter;
    const NAME: &'static str = "drop-dead-letter";
}

/// Builds a new generation of a projection from all events and switches readers to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuild {
    /// Name of the projection.
    pub projection: String,
}

impl Command for Rebuild {
    type Answer = Operation;
    const NAME: &'static str = "rebuild";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_flat_object() {
        let request = Request { asked_by: Some(7), command: Rebuild { projection: "users".into() } };
        let wire = serde_json::to_string(&request).unwrap();
        assert_eq!(wire, r#"{"asked_by":7,"projection":"users"}"#);
        assert_eq!(serde_json::from_str::<Request<Rebuild>>(&wire).unwrap(), request);
        let anonymous: Request<GetStatus> = serde_json::from_str(r#"{"asked_by":null}"#).unwrap();
        assert_eq!(anonymous, Request { asked_by: None, command: GetStatus {} });
    }

    #[test]
    fn a_reply_is_an_answer_or_an_error_that_names_its_kind() {
        let failure = Failure::new(FailureKind::NotFound, "nothing there");
        let wire = serde_json::to_string(&Reply::<u8>::Error(failure.clone())).unwrap();
        assert_eq!(wire, r#"{"error":{"kind":"not-found","detail":"nothing there"}}"#);
        assert_eq!(serde_json::from_str::<Reply<u8>>(&wire).unwrap(), Reply::Error(failure));
        assert_eq!(serde_json::to_string(&Reply::Ok(1)).unwrap(), r#"{"ok":1}"#);
    }
}
