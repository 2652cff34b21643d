//! Hints of our own, put into the inbox beside authentik's webhooks.

use async_nats::HeaderMap;
use domain::event::Channel;
use domain::hint::OwnHint;
use domain::key::DeliveryId;
use runtime::nats::Nats;

use crate::publish::{Expected, Outgoing, PublishError, Stored, publish};

/// Header that tells how a delivery came.
pub const CHANNEL: &str = "Channel";

/// Stores the hint. A conflict means that a delivery of this id was stored before.
pub async fn put_hint(
    nats: &Nats,
    id: &DeliveryId,
    channel: Channel,
    hint: &OwnHint,
) -> Result<Stored, PublishError> {
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", "application/json");
    headers.insert(CHANNEL, channel.as_str());
    let payload = serde_json::to_vec(hint).map_err(|error| PublishError::Refused {
        code: 0,
        description: format!("the hint is no JSON: {error}"),
    })?;
    let expected = Some(Expected { last_sequence: 0, filter: None });
    publish(
        nats,
        Outgoing { subject: nats.namespace.inbox_subject(id), headers, payload: payload.into(), expected },
    )
    .await
}
