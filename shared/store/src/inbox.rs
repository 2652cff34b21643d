//! Hints of our own and what was pulled, put into the inbox beside authentik's webhooks.

use anyhow::Context;
use async_nats::HeaderMap;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use domain::event::Channel;
use domain::hint::{ERASED_BODY, InternalHint};
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
    hint: &InternalHint,
) -> Result<Stored, PublishError> {
    let body = serde_json::to_vec(hint).map_err(|error| PublishError::Refused {
        code: 0,
        description: format!("the hint is no JSON: {error}"),
    })?;
    put_delivery(nats, id, channel, body.into()).await
}

/// Stores a delivery that did not come by webhook. A conflict means that one of this id was stored before.
pub async fn put_delivery(
    nats: &Nats,
    id: &DeliveryId,
    channel: Channel,
    payload: Bytes,
) -> Result<Stored, PublishError> {
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", "application/json");
    headers.insert(CHANNEL, channel.as_str());
    let expected = Some(Expected { last_sequence: 0, filter: None });
    publish(nats, Outgoing { subject: nats.namespace.inbox_subject(id), headers, payload, expected }).await
}

/// Puts an empty delivery in the place of the one at `sequence`, which can be deleted then: the subject stays occupied,
/// so nobody can store the delivery once more.
///
/// A conflict means that something newer keeps the subject occupied already.
pub async fn replace(nats: &Nats, subject: String, sequence: u64) -> Result<Stored, PublishError> {
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", "application/json");
    let expected = Some(Expected { last_sequence: sequence, filter: None });
    publish(nats, Outgoing { subject, headers, payload: ERASED_BODY.into(), expected }).await
}

/// Whether a delivery of this id is stored, from the leader. Nothing is written.
pub async fn has_delivery(nats: &Nats, id: &DeliveryId) -> anyhow::Result<bool> {
    let inbox = nats.jetstream.get_stream_no_info(nats.namespace.inbox_stream()).await;
    let inbox = inbox.context("opening the inbox")?;
    match inbox.get_last_raw_message_by_subject(&nats.namespace.inbox_subject(id)).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
        Err(error) => Err(error).context("looking for a delivery in the inbox"),
    }
}
