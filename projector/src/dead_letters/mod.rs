//! Dead letters: deliveries that no retry can process, kept for an operator to list, show, replay, or drop.

mod page;
mod set_aside;

use std::collections::BTreeMap;

use anyhow::Context;
use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use domain::command::{DeadLetter, DeadLetterContent, Replayed};
use domain::key::{DeliveryId, UserPk};
use runtime::nats::Nats;
use store::messages;
use store::publish::{Expected, NewMessage, PublishError, publish, retry_delay};

pub use page::{list, page, replay_all};
pub(crate) use set_aside::set_aside;

/// Prefix of the headers that a dead letter gets in addition to the delivery's own.
const OWN_HEADERS: &str = "Dead-Letter-";
const REASON: &str = "Dead-Letter-Reason";
const ATTEMPTS: &str = "Dead-Letter-Attempts";
const FIRST_FAILURE: &str = "Dead-Letter-First-Failure";
const LAST_FAILURE: &str = "Dead-Letter-Last-Failure";

/// Prefix of the NATS server's headers: conditions and position of the original publish.
const SERVER_HEADERS: &str = "Nats-";

/// Header of a replay: the id of the replayed delivery.
pub const REPLAY_OF: &str = "Replay-Of";

/// Header of a replay: the user who requested it through the API.
pub const ASKED_BY: &str = "Asked-By";

/// How many times to retry a replay while the server processes another publish to its subject.
const MAX_IN_FLIGHT: u32 = 10;

/// Why an operation on a dead letter failed.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// No dead letter has this id.
    #[error("no dead letter has the id {0}: `projector dead-letters list` shows all ids")]
    Unknown(DeliveryId),
    /// NATS failed or did not answer.
    #[error("the dead letters are unavailable; retry later")]
    Unavailable(#[from] anyhow::Error),
}

/// A dead letter with its original headers and payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullDeadLetter {
    /// Id, reason, attempts and times.
    pub letter: DeadLetter,
    /// The headers of the delivery.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The payload of the delivery.
    pub payload: Bytes,
    sequence: u64,
}

impl FullDeadLetter {
    /// The form for operators, with the payload as text.
    pub fn content(&self) -> DeadLetterContent {
        DeadLetterContent {
            letter: self.letter.clone(),
            headers: self.headers.clone(),
            payload: String::from_utf8_lossy(&self.payload).into_owned(),
        }
    }
}

/// Reads one dead letter with headers and payload.
pub async fn show(nats: &Nats, id: &DeliveryId) -> Result<FullDeadLetter, DeadLetterError> {
    let stream = open(nats).await?;
    let subject = nats.namespace.dead_letter_subject(id);
    match stream.get_last_raw_message_by_subject(&subject).await {
        Ok(message) => Ok(full(id, message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
            Err(DeadLetterError::Unknown(id.clone()))
        }
        Err(error) => Err(anyhow::Error::new(error).context("reading a dead letter").into()),
    }
}

/// Publishes the delivery to the inbox again, under the id `<id>.replay-<n>`, and erases the dead letter.
///
/// A crash in between leaves both, which is harmless because hints are idempotent.
pub async fn replay(
    nats: &Nats,
    id: &DeliveryId,
    asked_by: Option<UserPk>,
) -> Result<Replayed, DeadLetterError> {
    let mut letter = show(nats, id).await?;
    // The header may name the requester of an earlier replay.
    letter.headers.remove(ASKED_BY);
    letter.headers.extend(asked_by.map(|pk| (ASKED_BY.to_owned(), vec![pk.to_string()])));
    // The replay of a failed replay counts as another replay of the original delivery.
    let original = letter.headers.get(REPLAY_OF).and_then(|values| values.first()?.parse().ok());
    let replay = publish_replay(nats, &original.unwrap_or_else(|| id.clone()), &letter).await?;
    remove(nats, letter.sequence).await?;
    Ok(Replayed { id: id.clone(), replay })
}

/// Erases a dead letter, including its payload. Returns the erased letter.
pub async fn drop(nats: &Nats, id: &DeliveryId) -> Result<FullDeadLetter, DeadLetterError> {
    let letter = show(nats, id).await?;
    remove(nats, letter.sequence).await?;
    Ok(letter)
}

async fn open(nats: &Nats) -> anyhow::Result<Stream> {
    let name = nats.namespace.dead_letters_stream();
    nats.jetstream.get_stream(&name).await.with_context(|| format!("opening stream {name}"))
}

fn summary(id: &DeliveryId, headers: &HeaderMap) -> DeadLetter {
    let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    DeadLetter {
        id: id.clone(),
        reason: header(REASON).unwrap_or_default(),
        attempts: header(ATTEMPTS).and_then(|text| text.parse().ok()).unwrap_or_default(),
        first_failure: header(FIRST_FAILURE).and_then(|text| text.parse().ok()),
        last_failure: header(LAST_FAILURE).and_then(|text| text.parse().ok()),
    }
}

fn full(id: &DeliveryId, message: StreamMessage) -> FullDeadLetter {
    let original = message.headers.iter().filter(|(name, _)| {
        let name: &str = name.as_ref();
        !name.starts_with(OWN_HEADERS) && !name.starts_with(SERVER_HEADERS)
    });
    let headers = original.map(|(name, values)| {
        (name.to_string(), values.iter().map(|value| value.as_str().to_owned()).collect())
    });
    FullDeadLetter {
        letter: summary(id, &message.headers),
        headers: headers.collect(),
        payload: message.payload,
        sequence: message.sequence,
    }
}

async fn publish_replay(
    nats: &Nats,
    original: &DeliveryId,
    letter: &FullDeadLetter,
) -> anyhow::Result<DeliveryId> {
    let mut headers = HeaderMap::new();
    for (name, values) in &letter.headers {
        for value in values {
            headers.append(name.as_str(), value.as_str());
        }
    }
    headers.insert(REPLAY_OF, original.as_str());
    let mut n_in_flight = 0;
    let mut number = 1;
    loop {
        let id = original.replay(number);
        let outgoing = NewMessage {
            subject: nats.namespace.inbox_subject(&id),
            headers: headers.clone(),
            payload: letter.payload.clone(),
            expected: Some(Expected { last_sequence: 0, filter: None }),
        };
        match publish(nats, outgoing).await {
            Ok(_) => return Ok(id),
            // An earlier replay already uses this number.
            Err(PublishError::Conflict) => number += 1,
            Err(PublishError::InFlight | PublishError::Busy) if n_in_flight < MAX_IN_FLIGHT => {
                tokio::time::sleep(retry_delay(n_in_flight)).await;
                n_in_flight += 1;
            }
            Err(error) => return Err(error).with_context(|| format!("publishing {id} to the inbox")),
        }
    }
}

async fn remove(nats: &Nats, sequence: u64) -> anyhow::Result<()> {
    messages::erase(nats, &nats.namespace.dead_letters_stream(), sequence).await
}
