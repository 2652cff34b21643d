//! A delivery: one message of the inbox.

use async_nats::jetstream::Message;
use domain::event::Channel;
use domain::key::DeliveryId;
use domain::timestamp::Timestamp;
use runtime::nats::Nats;

#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) id: DeliveryId,
    pub(crate) channel: Channel,
    pub(crate) body: bytes::Bytes,
    pub(crate) received: Timestamp,
    /// How often the server delivered it to a worker, including this time.
    pub(crate) n_deliveries: i64,
}

impl Delivery {
    /// Reads a message of the inbox; `None` if its subject or its metadata is not that of a delivery.
    pub(crate) fn from_message(nats: &Nats, message: &Message) -> Option<Self> {
        let id = nats.namespace.delivery_of(&message.subject)?;
        let info = message.info().ok()?;
        let channel = message
            .headers
            .as_ref()
            .and_then(|headers| Channel::from_name(headers.get(store::inbox::CHANNEL)?.as_str()));
        Some(Self {
            id,
            channel: channel.unwrap_or(Channel::Webhook),
            body: message.payload.clone(),
            received: info.published.into(),
            n_deliveries: info.delivered,
        })
    }
}
