//! Conditional publishes of single messages and of atomic batches.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::client::{PublishErrorKind, RequestErrorKind};
use bytes::Bytes;
use runtime::nats::{ACK_TIMEOUT, Nats};
use serde::Deserialize;

/// The condition does not hold. Codes are listed in
/// [nats-server](https://github.com/nats-io/nats-server/blob/main/server/errors.json).
const WRONG_LAST_SEQUENCE: u64 = 10_071;
/// A conflicting publish is in flight.
const WRONG_LAST_SEQUENCE_CONSTANT: u64 = 10_164;
/// Too many atomic batches are open on the stream.
const TOO_MANY_BATCHES: u64 = 10_210;

/// A message to publish.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Subject to publish it on.
    pub subject: String,
    /// Headers, without those for batch and condition.
    pub headers: HeaderMap,
    /// Payload.
    pub payload: Bytes,
    /// The condition under which JetStream stores it. Without one it is stored in any case.
    pub expected: Option<Expected>,
}

/// The condition under which a message is stored.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Expected sequence of the last message; 0 if there must be none.
    pub last_sequence: u64,
    /// Which subjects to look for the last message on; `None` means the subject of the message itself.
    pub filter: Option<String>,
}

/// JetStream's acknowledgement: the message is stored, and it is on disk if `sync_interval` is `always`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Sequence of the message, or of the last message of a batch.
    pub sequence: u64,
}

/// Why a publish was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The condition does not hold: another message was stored first.
    #[error("another message was stored first")]
    Conflict,
    /// A publish that may conflict is in flight. Try again.
    #[error("a conflicting publish is in flight; try again")]
    InFlight,
    /// Too many atomic batches are open. Try again.
    #[error("too many atomic batches are open; try again")]
    Busy,
    /// The server refused the message, for example because the stream is full, or the message cannot be sent.
    #[error("JetStream refused the message ({code}): {description}")]
    Refused {
        /// JetStream's error code; 0 if the message was not sent.
        code: u64,
        /// JetStream's description of the error.
        description: String,
    },
    /// No answer came, so the message may be stored or not.
    #[error("no acknowledgement from JetStream: {0}")]
    Unacknowledged(String),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Publishes a message and waits up to [`ACK_TIMEOUT`] for the acknowledgement.
pub async fn publish(nats: &Nats, message: NewMessage) -> Result<Stored, PublishError> {
    let headers = conditions(message.headers, message.expected.as_ref());
    request(nats, message.subject, headers, message.payload).await
}

/// Publishes all messages or none as one commit, and waits up to [`ACK_TIMEOUT`] for the acknowledgement.
///
/// `batch` must be unique among the open batches. A batch has at most 1000 messages
/// ([ADR-50](https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md)).
pub async fn publish_batch(
    nats: &Nats,
    batch: &str,
    messages: Vec<NewMessage>,
) -> Result<Stored, PublishError> {
    // Without a connection the client would queue the messages and send them later, as a batch without a commit.
    ensure_connected(nats)?;
    let n_messages = messages.len();
    let mut last = Err(PublishError::Refused { code: 0, description: "an empty batch".to_owned() });
    for (index, message) in messages.into_iter().enumerate() {
        let mut headers = conditions(message.headers, message.expected.as_ref());
        headers.insert("Nats-Batch-Id", batch);
        headers.insert("Nats-Batch-Sequence", (index + 1).to_string());
        if index + 1 < n_messages {
            let sent = nats.client.publish_with_headers(message.subject, headers, message.payload).await;
            sent.map_err(|error| match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => too_large(),
                PublishErrorKind::InvalidSubject | PublishErrorKind::Send => {
                    PublishError::Unacknowledged(error.to_string())
                }
            })?;
        } else {
            headers.insert("Nats-Batch-Commit", "1");
            last = request(nats, message.subject, headers, message.payload).await;
        }
    }
    last
}

fn conditions(mut headers: HeaderMap, expected: Option<&Expected>) -> HeaderMap {
    if let Some(expected) = expected {
        headers.insert("Nats-Expected-Last-Subject-Sequence", expected.last_sequence.to_string());
        if let Some(filter) = &expected.filter {
            headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", filter.as_str());
        }
    }
    headers
}

fn ensure_connected(nats: &Nats) -> Result<(), PublishError> {
    if nats.is_connected() {
        Ok(())
    } else {
        Err(PublishError::Unacknowledged("not connected to NATS".to_owned()))
    }
}

async fn request(
    nats: &Nats,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
) -> Result<Stored, PublishError> {
    // Without a connection the request would only wait for its timeout.
    ensure_connected(nats)?;
    let request = async_nats::Request::new().headers(headers).payload(payload).timeout(Some(ACK_TIMEOUT));
    let answer = tokio::select! {
        biased;
        answer = nats.client.send_request(subject, request) => answer,
        () = nats.lost() => {
            return Err(PublishError::Unacknowledged("lost the connection to NATS".to_owned()));
        }
    };
    let answer = answer.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => PublishError::Unacknowledged(
            "no stream answers: JetStream has no leader or the stream is missing".into(),
        ),
        RequestErrorKind::MaxPayloadExceeded => too_large(),
        RequestErrorKind::TimedOut | RequestErrorKind::InvalidSubject | RequestErrorKind::Other => {
            PublishError::Unacknowledged(error.to_string())
        }
    })?;
    let answer: Answer = serde_json::from_slice(&answer.payload).map_err(|error| {
        PublishError::Unacknowledged(format!("the answer is not an acknowledgement: {error}"))
    })?;
    match answer.error {
        None => Ok(Stored { sequence: answer.seq }),
        Some(AnswerError { err_code: WRONG_LAST_SEQUENCE, .. }) => Err(PublishError::Conflict),
        Some(AnswerError { err_code: WRONG_LAST_SEQUENCE_CONSTANT, .. }) => Err(PublishError::InFlight),
        Some(AnswerError { err_code: TOO_MANY_BATCHES, .. }) => Err(PublishError::Busy),
        Some(AnswerError { err_code: code, description }) => Err(PublishError::Refused { code, description }),
    }
}

fn too_large() -> PublishError {
    let description = "the message is larger than the server's max_payload".to_owned();
    PublishError::Refused { code: 0, description }
}

pub(crate) fn not_json(what: &str, error: &serde_json::Error) -> PublishError {
    PublishError::Refused { code: 0, description: format!("{what} cannot be serialized: {error}") }
}

/// Exponential backoff: the delay before retry number `n_retries`, counted from 0. 50 ms, doubling to 1.6 s.
pub fn retry_delay(n_retries: u32) -> Duration {
    Duration::from_millis(50 << n_retries.min(5)).min(Duration::from_secs(2))
}
