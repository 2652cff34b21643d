//! What an operator asks of a projector through the api: requests and answers on the wire.
//!
//! A request goes to the subject of its command; one of the projectors answers it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::key::{DeliveryId, UserPk};
use crate::operation::Operation;
use crate::status::Status;
use crate::timestamp::Timestamp;

/// Projectors share the commands: one of them gets each. [`GetHealth`] goes to all.
pub const QUEUE_GROUP: &str = "projector";

/// Something that a projector can be asked.
pub trait Command: Serialize + DeserializeOwned + Send {
    /// What it answers where nothing is wrong.
    type Answer: Serialize + DeserializeOwned + Send;

    /// Last token of the subject.
    const NAME: &'static str;
}

/// A command, and who wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<C> {
    /// The user on whose behalf; nothing where they are not recorded.
    pub asked_by: Option<UserPk>,
    /// The command.
    #[serde(flatten)]
    pub command: C,
}

/// What comes back: `{"ok": …}` or `{"error": …}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply<T> {
    /// What was asked for.
    Ok(T),
    /// Why not.
    Error(Failure),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// What a caller can branch on.
    pub kind: FailureKind,
    /// What is wrong, and what to do.
    pub detail: String,
}

/// What a caller can branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// There is nothing of that name.
    NotFound,
    /// It cannot be done beside what is being done.
    Conflict,
    /// The request is not understood.
    BadRequest,
    /// Something that is needed is away; it will come back.
    Unavailable,
}

impl Failure {
    /// With what is wrong, and what to do.
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

/// Streams, backlog and projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetStatus {}

impl Command for GetStatus {
    type Answer = Status;
    const NAME: &'static str = "status";
}

/// How a projector is. Each one answers for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetHealth {}

impl Command for GetHealth {
    type Answer = ProjectorHealth;
    const NAME: &'static str = "health";
}

/// Whether a projector can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectorHealth {
    /// Names the process; another one after a restart.
    pub id: String,
    /// Whether it can do all of its work.
    pub ready: bool,
    /// What keeps it from being ready, by condition.
    pub failures: BTreeMap<String, String>,
}

/// A page of the dead letters, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListDeadLetters {
    /// The place that the page before ended at; 0 for the first page.
    pub after: u64,
    /// How many at most.
    pub limit: usize,
}

impl Command for ListDeadLetters {
    type Answer = DeadLetterPage;
    const NAME: &'static str = "list-dead-letters";
}

/// Some dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterPage {
    /// The oldest first; a page of long reasons can hold fewer than were asked for.
    pub dead_letters: Vec<DeadLetter>,
    /// Where the next page begins; nothing at the end.
    pub next: Option<u64>,
}

/// A delivery that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// Its delivery id.
    pub id: DeliveryId,
    /// Why it was set aside.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u64,
    /// When it came.
    pub first_failure: Option<Timestamp>,
    /// When it was set aside.
    pub last_failure: Option<Timestamp>,
}

/// One dead letter with headers and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowDeadLetter {
    /// Its delivery id.
    pub id: DeliveryId,
}

impl Command for ShowDeadLetter {
    type Answer = DeadLetterContent;
    const NAME: &'static str = "show-dead-letter";
}

/// A dead letter with what it was delivered with, which can be personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterContent {
    /// What is listed of it.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// The headers that it came with.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The content as text: authentik sends nothing else.
    pub payload: String,
}

/// Puts a dead letter into the inbox again, under an id of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayDeadLetter {
    /// Its delivery id.
    pub id: DeliveryId,
}

impl Command for ReplayDeadLetter {
    type Answer = Replayed;
    const NAME: &'static str = "replay-dead-letter";
}

/// What became of a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    /// The dead letter, which is gone.
    pub id: DeliveryId,
    /// The delivery that took its place in the inbox.
    pub replay: DeliveryId,
}

/// Puts all dead letters that are there now into the inbox again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayDeadLetters {}

impl Command for ReplayDeadLetters {
    type Answer = Operation;
    const NAME: &'static str = "replay-dead-letters";
}

/// Deletes a dead letter for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropDeadLetter {
    /// Its delivery id.
    pub id: DeliveryId,
}

impl Command for DropDeadLetter {
    type Answer = DeadLetter;
    const NAME: &'static str = "drop-dead-letter";
}

/// Folds all events into a new generation of a projection, and switches readers to it.
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
        let nobody: Request<GetStatus> = serde_json::from_str(r#"{"asked_by":null}"#).unwrap();
        assert_eq!(nobody, Request { asked_by: None, command: GetStatus {} });
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
