//! Deliveries that no retry can mend, kept for a person.

use async_nats::jetstream::Message;
use runtime::clock;
use runtime::nats::Nats;
use store::publish::{self, Expected, Outgoing, PublishError};

use crate::handle::Delivery;

/// Longest reason that is kept.
const MAX_REASON: usize = 1000;

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
