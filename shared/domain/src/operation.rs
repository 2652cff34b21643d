//! What an operator had done, or is having done: kept, so that it can be followed and looked up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::key::UserPk;
use crate::timestamp::Timestamp;

/// Something that was asked for, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Operation {
    /// Names it.
    pub id: Uuid,
    /// What is done.
    pub kind: OperationKind,
    /// What it is done to: name of a projection, or id of a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How it stands.
    pub state: OperationState,
    /// How much is done; of a rebuild, the sequence that is folded.
    pub done: u64,
    /// How much there is to do.
    pub of: u64,
    /// The user who asked for it; nothing where they were not recorded.
    pub asked_by: Option<UserPk>,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// What came of it; of a rebuild, its generation and its fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it failed, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What an operator can have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// A projection is folded anew.
    Rebuild,
    /// Dead letters are put into the inbox again: the one that is the subject, else all.
    ReplayDeadLetters,
    /// A dead letter is deleted.
    DropDeadLetter,
}

/// How an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    /// A projector is at it.
    Running,
    /// It is done, and there is a result.
    Done,
    /// It was not done, or not to its end; there is an error.
    Failed,
}

impl Operation {
    /// One that begins now. How much there is to do may not be known yet.
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

    /// Notes that it ended, and how.
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

    /// Notes that nobody is at it any more, since that time.
    pub fn abandon(&mut self, since: Timestamp) {
        self.end(Err("the projector that was at it died: ask for it once more".to_owned()), since);
    }
}
