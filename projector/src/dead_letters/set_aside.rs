//! Stores a delivery as a dead letter.

use async_nats::HeaderMap;
use async_nats::jetstream::Message;
use bytes::Bytes;
use runtime::clock;
use runtime::nats::Nats;
use store::publish::{self, Expected, NewMessage, PublishError};

use super::{ATTEMPTS, FIRST_FAILURE, LAST_FAILURE, REASON, SERVER_HEADERS};
use crate::delivery::Delivery;

/// Longest stored reason, in characters.
const MAX_REASON: usize = 1000;

/// Stores payload and headers of the delivery together with the reason, the number of attempts and the times.
pub(crate) async fn set_aside(
    nats: &Nats,
    delivery: &Delivery,
    message: &Message,
    reason: &str,
) -> anyhow::Result<()> {
    match publish_letter(nats, delivery, message.headers.as_ref(), message.payload.clone(), reason).await {
        // With the added headers it exceeds the size limit of messages.
        Err(PublishError::Refused { .. }) => {
            let reason = format!("too large to be stored whole, see the inbox for its content; {reason}");
            publish_letter(nats, delivery, None, Bytes::new(), &reason).await?;
        }
        stored => stored?,
    }
    Ok(())
}

async fn publish_letter(
    nats: &Nats,
    delivery: &Delivery,
    headers: Option<&HeaderMap>,
    payload: Bytes,
    reason: &str,
) -> Result<(), PublishError> {
    let mut headers = without_server_headers(headers);
    // A header value must be one line.
    let reason: String =
        reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON).collect();
    headers.insert(REASON, reason);
    headers.insert(ATTEMPTS, delivery.n_deliveries.to_string());
    headers.insert(FIRST_FAILURE, delivery.received.to_string());
    headers.insert(LAST_FAILURE, clock::now().to_string());
    let outgoing = NewMessage {
        subject: nats.namespace.dead_letter_subject(&delivery.id),
        headers,
        payload,
        expected: Some(Expected { last_sequence: 0, filter: None }),
    };
    match publish::publish(nats, outgoing).await {
        // A conflict means that a worker stored it and died before it acknowledged the delivery.
        Ok(_) | Err(PublishError::Conflict) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the server's headers, which belong to the original publish: the server would take this message for
/// a part of the batch that brought the delivery.
fn without_server_headers(headers: Option<&HeaderMap>) -> HeaderMap {
    let all = headers.into_iter().flat_map(HeaderMap::iter);
    let mut kept = HeaderMap::new();
    for (name, values) in all.filter(|(name, _)| !AsRef::<str>::as_ref(name).starts_with(SERVER_HEADERS)) {
        for value in values {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}
