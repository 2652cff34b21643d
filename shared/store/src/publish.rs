//! Publishing under a condition, alone or as one atomic batch.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::client::{PublishErrorKind, RequestErrorKind};
use bytes::Bytes;
use runtime::nats::{ACK_TIMEOUT, Nats};
use serde::Deserialize;

/// Wrong last sequence: the condition does not hold.
const WRONG_LAST_SEQUENCE: u64 = 10_071;
/// Wrong last sequence, told without saying which: a conflicting publish is in flight.
const WRONG_LAST_SEQUENCE_CONSTANT: u64 = 10_164;
/// Too many atomic batches are open on the stream.
const TOO_MANY_BATCHES: u64 = 10_210;

/// One message to publish.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where to.
    pub subject: String,
    /// Headers besides those that this module sets.
    pub headers: HeaderMap,
    /// The content.
    pub payload: Bytes,
    /// What must hold for it to be stored.
    pub expected: Option<Expected>,
}

/// The condition under which a message is stored.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Sequence of the last message; 0 where there must be none.
    pub last_sequence: u64,
    /// On the subjects of this filter; on the message's own subject where there is none.
    pub filter: Option<String>,
}

/// The server stored it, and has it on disk if `sync_interval` is `always`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Sequence of the message; of a batch, of its last one.
    pub sequence: u64,
}

/// Why a message is not known to be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The condition does not hold: somebody else was first, and theirs is committed.
    #[error("the expected last sequence is another one")]
    Conflict,
    /// A publish that may conflict is under way: ask again.
    #[error("a conflicting publish is in flight")]
    InFlight,
    /// Too many batches are open: ask again.
    #[error("too many atomic batches are open")]
    Busy,
    /// The server refused it.
    #[error("JetStream refused the message ({code}): {description}")]
    Refused {
        /// JetStream's error code.
        code: u64,
        /// What it says.
        description: String,
    },
    /// No answer: whether it is stored is not known.
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

/// Publishes one message and waits for the acknowledgement.
pub async fn publish(nats: &Nats, message: Outgoing) -> Result<Stored, PublishError> {
    let headers = conditions(message.headers, message.expected.as_ref());
    request(nats, message.subject, headers, message.payload).await
}

/// Publishes all messages or none, as one commit (ADR-50), and waits for the acknowledgement.
///
/// `batch` must be unique among the batches that are open. At most 1000 messages fit.
pub async fn publish_batch(
    nats: &Nats,
    batch: &str,
    messages: Vec<Outgoing>,
) -> Result<Stored, PublishError> {
    // While the connection is lost the client would keep them, and send them later as a batch without an end.
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
    // While the connection is lost a request would only wait for its timeout.
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
            "no stream listens: JetStream has no leader or the stream is missing".into(),
        ),
        RequestErrorKind::MaxPayloadExceeded => too_large(),
        RequestErrorKind::TimedOut | RequestErrorKind::InvalidSubject | RequestErrorKind::Other => {
            PublishError::Unacknowledged(error.to_string())
        }
    })?;
    let answer: Answer = serde_json::from_slice(&answer.payload).map_err(|error| {
        PublishError::Unacknowledged(format!("an answer that is no acknowledgement: {error}"))
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
    PublishError::Refused { code: 0, description: "larger than the server's max_payload".to_owned() }
}

/// How long to wait before the given try, counted from 0: 50 ms, doubling to 2 s.
pub fn retry_delay(n_tries: u32) -> Duration {
    Duration::from_millis(50 << n_tries.min(5)).min(Duration::from_secs(2))
}
