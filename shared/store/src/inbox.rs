//! Deliveries that do not come by webhook: our own hints, and events pulled from authentik's event log.

use anyhow::Context;
use async_nats::HeaderMap;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use domain::event::Channel;
use domain::hint::{ERASED_BODY, InternalHint};
use domain::key::DeliveryId;
use runtime::nats::Nats;

use crate::publish::{Expected, NewMessage, PublishError, Stored, not_json, publish};

/// Header with the name of the [`Channel`] by which a delivery came.
pub const CHANNEL: &str = "Channel";

/// Stores a hint. A conflict means that a delivery with this id is already stored.
pub async fn put_hint(
    nats: &Nats,
    id: &DeliveryId,
    channel: Channel,
    hint: &InternalHint,
) -> Result<Stored, PublishError> {
    let body = serde_json::to_vec(hint).map_err(|error| not_json("the hint", &error))?;
    put_delivery(nats, id, channel, body.into()).await
}

/// Stores a delivery. A conflict means that a delivery with this id is already stored.
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
    publish(nats, NewMessage { subject: nats.namespace.inbox_subject(id), headers, payload, expected }).await
}

/// Stores an empty delivery on the subject of the delivery at `sequence`, which can then be deleted.
///
/// The subject stays occupied, so the same delivery cannot be stored again. A conflict means that a newer message
/// already occupies the subject.
pub async fn replace(nats: &Nats, subject: String, sequence: u64) -> Result<Stored, PublishError> {
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", "application/json");
    let expected = Some(Expected { last_sequence: sequence, filter: None });
    publish(nats, NewMessage { subject, headers, payload: ERASED_BODY.into(), expected }).await
}

/// Whether a delivery with this id is stored, according to the leader.
pub async fn has_delivery(nats: &Nats, id: &DeliveryId) -> anyhow::Result<bool> {
    let inbox = nats.jetstream.get_stream_no_info(nats.namespace.inbox_stream()).await;
    let inbox = inbox.context("opening the inbox")?;
    match inbox.get_last_raw_message_by_subject(&nats.namespace.inbox_subject(id)).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
        Err(error) => Err(error).context("looking for a delivery in the inbox"),
    }
}
