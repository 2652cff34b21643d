//! Long-running operations of an operator, stored so that progress and result can be read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::key::UserPk;
use crate::timestamp::Timestamp;

/// A requested operation with its progress and result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Operation {
    /// Id of the operation.
    pub id: Uuid,
    /// Kind of the operation.
    pub kind: OperationKind,
    /// What the operation works on: name of a projection, or id of a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Current state.
    pub state: OperationState,
    /// Completed steps; for a rebuild, the sequence of the last folded event.
    pub done: u64,
    /// Total steps, in the unit of `done`; 0 while unknown.
    pub of: u64,
    /// The user who requested it; null if that user was not recorded.
    pub asked_by: Option<UserPk>,
    /// When it started.
    pub began: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Result; for a rebuild, its generation and its fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it failed and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// Builds a projection again from all events.
    Rebuild,
    /// Moves dead letters back to the inbox: the one in `subject`, or all.
    ReplayDeadLetters,
    /// Deletes a dead letter.
    DropDeadLetter,
    /// Lets the deletion brake pass the number of deletions in `subject`.
    ConfirmDeletions,
}

/// States of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    /// A projector works on it.
    Running,
    /// It succeeded; `result` is set.
    Done,
    /// It was not started or not completed; `error` is set.
    Failed,
}

impl Operation {
    /// A running operation without progress; the caller sets `of` when it is known.
    pub fn begun(
        id: Uuid,
        kind: OperationKind,
        subject: Option<String>,
        asked_by: Option<UserPk>,
        began: Timestamp,
    ) -> Self {
        Self {
            id,
            kind,
            subject,
            state: OperationState::Running,
            done: 0,
            of: 0,
            asked_by,
            began,
            ended: None,
            result: None,
            error: None,
        }
    }

    /// Ends the operation with its result or error.
    pub fn end(&mut self, result: Result<Value, String>, ended: Timestamp) {
        self.ended = Some(ended);
        match result {
            Ok(result) => {
                (self.state, self.result) = (OperationState::Done, Some(result));
                self.of = self.of.max(1);
                self.done = self.of;
            }
            Err(error) => (self.state, self.error) = (OperationState::Failed, Some(error)),
        }
    }

    /// Ends the operation as failed because its projector died at `since`.
    pub fn abandon(&mut self, since: Timestamp) {
        self.end(
            Err("the projector that carried out this operation died: request it again".to_owned()),
            since,
        );
    }
}
