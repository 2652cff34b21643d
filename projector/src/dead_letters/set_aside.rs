//! Sets a delivery aside.

use async_nats::HeaderMap;
use async_nats::jetstream::Message;
use bytes::Bytes;
use runtime::clock;
use runtime::nats::Nats;
use store::publish::{self, Expected, NewMessage, PublishError};

use super::{ATTEMPTS, FIRST_FAILURE, LAST_FAILURE, REASON, SERVER_HEADERS};
use crate::delivery::Delivery;

/// Longest reason that is kept.
const MAX_REASON: usize = 1000;

/// Keeps the original payload and headers, with why and when.
pub(crate) async fn set_aside(
    nats: &Nats,
    delivery: &Delivery,
    message: &Message,
    reason: &str,
) -> anyhow::Result<()> {
    match keep(nats, delivery, message.headers.as_ref(), message.payload.clone(), reason).await {
        // With its reason it is larger than any message may be.
        Err(PublishError::Refused { .. }) => {
            let reason = format!("too large to be kept whole, see the inbox for its content; {reason}");
            keep(nats, delivery, None, Bytes::new(), &reason).await?;
        }
        kept => kept?,
    }
    Ok(())
}

async fn keep(
    nats: &Nats,
    delivery: &Delivery,
    headers: Option<&HeaderMap>,
    payload: Bytes,
    reason: &str,
) -> Result<(), PublishError> {
    let mut headers = without_servers(headers);
    // A header is one line.
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
        // Set aside before, by a worker that died before it could say so.
        Ok(_) | Err(PublishError::Conflict) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The headers that somebody meant. Those of the server are about another publish: with them this one would be
/// taken for a part of the batch that brought the delivery.
fn without_servers(headers: Option<&HeaderMap>) -> HeaderMap {
    let all = headers.into_iter().flat_map(HeaderMap::iter);
    let mut kept = HeaderMap::new();
    for (name, values) in all.filter(|(name, _)| !AsRef::<str>::as_ref(name).starts_with(SERVER_HEADERS)) {
        for value in values {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}
