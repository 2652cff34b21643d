//! Deliveries that no retry can mend, kept for a person.

use anyhow::Context;
use async_nats::HeaderMap;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use domain::key::DeliveryId;
use futures_util::StreamExt;
use runtime::clock;
use runtime::nats::Nats;
use serde::Serialize;
use store::publish::{self, Expected, Outgoing, PublishError};

use crate::handle::Delivery;

/// Longest reason that is kept.
const MAX_REASON: usize = 1000;

/// Names the delivery that a replayed one was.
const REPLAY_OF: &str = "Replay-Of";

/// A delivery that was set aside.
#[derive(Clone, Debug, Serialize)]
pub struct Letter {
    /// Its delivery id.
    pub id: DeliveryId,
    /// Why it was set aside.
    pub reason: String,
    /// How often it was tried.
    pub n_attempts: u64,
    /// When it came, as RFC 3339.
    pub first_failure: String,
    /// When it was set aside, as RFC 3339.
    pub last_failure: String,
    /// Its body.
    pub payload: String,
    #[serde(skip)]
    sequence: u64,
    #[serde(skip)]
    headers: HeaderMap,
    #[serde(skip)]
    body: bytes::Bytes,
}

/// All letters, oldest first.
pub async fn list(nats: &Nats) -> anyhow::Result<Vec<Letter>> {
    let stream = letters(nats).await?;
    let mut n_pending = stream.get_info().await.context("reading the dead letters")?.state.messages;
    let mut found = vec![];
    if n_pending == 0 {
        return Ok(found);
    }
    let consumer =
        stream.create_consumer(OrderedConfig::default()).await.context("reading the dead letters")?;
    let mut messages = consumer.messages().await.context("reading the dead letters")?;
    while n_pending > 0 {
        let message = messages
            .next()
            .await
            .context("the dead letters ended early")?
            .context("reading a dead letter")?;
        let info = message.info().map_err(|error| anyhow::anyhow!("a message without its place: {error}"))?;
        n_pending = info.pending;
        let sequence = info.stream_sequence;
        let headers = message.headers.clone().unwrap_or_default();
        found.extend(letter(nats, &message.subject, sequence, &headers, message.payload.clone()));
    }
    Ok(found)
}

/// The letter of that id.
pub async fn find(nats: &Nats, id: &DeliveryId) -> anyhow::Result<Letter> {
    let stream = letters(nats).await?;
    let subject = nats.namespace.dead_letter_subject(id);
    match stream.get_last_raw_message_by_subject(&subject).await {
        Ok(message) => letter(nats, &subject, message.sequence, &message.headers, message.payload)
            .with_context(|| format!("{id} is no dead letter")),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
            anyhow::bail!("there is no dead letter {id}: `projector dead-letters list` names them")
        }
        Err(error) => Err(error).context("reading a dead letter"),
    }
}

/// Puts the letter into the inbox once more, under the first id of its own that is free; then removes it.
pub async fn replay(nats: &Nats, letter: &Letter) -> anyhow::Result<DeliveryId> {
    for n in 1.. {
        let id = letter.id.replay(n);
        let mut headers = HeaderMap::new();
        for (name, values) in letter.headers.iter() {
            let name: &str = name.as_ref();
            if !name.starts_with("Dead-Letter-") && !name.starts_with("Nats-") {
                headers.insert(name, values.first().map_or("", async_nats::HeaderValue::as_str));
            }
        }
        headers.insert(REPLAY_OF, letter.id.as_str());
        let message = Outgoing {
            subject: nats.namespace.inbox_subject(&id),
            headers,
            payload: letter.body.clone(),
            expected: Some(Expected { last_sequence: 0, filter: None }),
        };
        match publish::publish(nats, message).await {
            Ok(_) => {
                remove(nats, letter).await?;
                return Ok(id);
            }
            // Replayed before under this id.
            Err(PublishError::Conflict) => {}
            Err(error) => return Err(error).context("replaying a dead letter"),
        }
    }
    anyhow::bail!("{} was replayed too often", letter.id)
}

/// Removes the letter for good.
pub async fn remove(nats: &Nats, letter: &Letter) -> anyhow::Result<()> {
    letters(nats).await?.delete_message(letter.sequence).await.context("removing a dead letter")?;
    Ok(())
}

async fn letters(nats: &Nats) -> anyhow::Result<Stream> {
    nats.jetstream.get_stream(nats.namespace.dead_letters_stream()).await.context("opening the dead letters")
}

fn letter(
    nats: &Nats,
    subject: &str,
    sequence: u64,
    headers: &HeaderMap,
    body: bytes::Bytes,
) -> Option<Letter> {
    let text = |name: &str| headers.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default();
    Some(Letter {
        id: nats.namespace.delivery_of(subject)?,
        reason: text("Dead-Letter-Reason"),
        n_attempts: text("Dead-Letter-Attempts").parse().unwrap_or_default(),
        first_failure: text("Dead-Letter-First-Failure"),
        last_failure: text("Dead-Letter-Last-Failure"),
        payload: String::from_utf8_lossy(&body).into_owned(),
        sequence,
        headers: headers.clone(),
        body,
    })
}

/// Keeps the original payload and headers, with why and when.
pub(crate) async fn set_aside(
    nats: &Nats,
    delivery: &Delivery,
    message: &Message,
    reason: &str,
) -> anyhow::Result<()> {
    let mut headers = message.headers.clone().unwrap_or_default();
    // A header is one line.
    let reason: String =
        reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect();
    headers.insert("Dead-Letter-Reason", reason);
    headers.insert("Dead-Letter-Attempts", delivery.n_deliveries.to_string());
    headers.insert("Dead-Letter-First-Failure", delivery.received.to_string());
    headers.insert("Dead-Letter-Last-Failure", clock::now().to_string());
    let outgoing = Outgoing {
        subject: nats.namespace.dead_letter_subject(&delivery.id),
        headers,
        payload: message.payload.clone(),
        expected: Some(Expected { last_sequence: 0, filter: None }),
    };
    match publish::publish(nats, outgoing).await {
        // Set aside before, by a worker that died before it could say so.
        Ok(_) | Err(PublishError::Conflict) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
