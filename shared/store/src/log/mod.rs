//! The event log: append at an expected position, read the newest event of an entity, read pages, count.

mod append;
mod page;

use std::sync::Arc;

use anyhow::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{self, OrderedConfig};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use domain::event::{Event, Recorded, Unreadable};
use domain::key::{Entity, Namespace};
use domain::timestamp::Timestamp;
use runtime::nats::Nats;
use serde_json::Value;
use tokio::sync::Semaphore;

/// Most batches that one process has open. A stream allows 50 from all clients together
/// ([ADR-50](https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md)).
const MAX_OPEN_BATCHES: usize = 8;

/// The stream of events. Clones share the connection.
#[derive(Clone, Debug)]
pub struct EventLog {
    pub(crate) nats: Nats,
    stream: Stream<()>,
    epoch: Arc<str>,
    batches: Arc<Semaphore>,
}

/// A message of the event log, not yet decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Sequence in the stream.
    pub sequence: u64,
    /// Time at which the server stored it.
    pub stored: Timestamp,
    /// Subject, which names entity and event type.
    pub subject: String,
    /// The event as JSON.
    pub payload: Bytes,
}

impl StoredMessage {
    /// Decodes the event. Fails if the payload is not an event that this version can read.
    pub fn decode(&self) -> Result<Recorded, Unreadable> {
        let event = Event::from_json(&self.payload)?;
        Ok(Recorded { sequence: self.sequence, stored: self.stored, event })
    }
}

impl From<StreamMessage> for StoredMessage {
    fn from(message: StreamMessage) -> Self {
        Self {
            sequence: message.sequence,
            stored: message.time.into(),
            subject: message.subject.to_string(),
            payload: message.payload,
        }
    }
}

/// The range of sequences in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Sequence of the first message that still exists.
    pub first: u64,
    /// Sequence of the last message that was stored, even if it was deleted; 0 if there was none.
    pub last: u64,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At this sequence.
    Sequence(u64),
    /// At the first message stored at this time or later.
    Time(Timestamp),
}

impl EventLog {
    /// Opens the stream. Fails if it does not exist or has no epoch.
    pub async fn open(nats: &Nats) -> anyhow::Result<Self> {
        let name = nats.namespace.events_stream();
        let info =
            nats.jetstream.get_stream(&name).await.with_context(|| format!("opening stream {name}"))?;
        let epoch = info.cached_info().config.metadata.get("epoch").with_context(|| {
            format!(
                "stream {name} has no metadata.epoch: the projector did not create it; see nats/README.md"
            )
        })?;
        let stream = nats.jetstream.get_stream_no_info(&name).await.context("opening the event log")?;
        let epoch = epoch.as_str().into();
        Ok(Self { nats: nats.clone(), stream, epoch, batches: Arc::new(Semaphore::new(MAX_OPEN_BATCHES)) })
    }

    /// Random id of the stream, created with it. A cursor with another epoch belongs to another stream.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Prefix of the names of streams, subjects and buckets.
    pub fn namespace(&self) -> &Namespace {
        &self.nats.namespace
    }

    /// First and last sequence, according to the leader.
    pub async fn bounds(&self) -> anyhow::Result<Bounds> {
        let info = self.stream.get_info().await.context("reading the state of the event log")?;
        Ok(Bounds { first: info.state.first_sequence, last: info.state.last_sequence })
    }

    /// The current time of the stream's leader. Compare it with [`StoredMessage::stored`] instead of the local clock,
    /// which may be wrong.
    pub async fn server_time(&self) -> anyhow::Result<Timestamp> {
        let subject = format!("STREAM.INFO.{}", self.nats.namespace.events_stream());
        let info: Value =
            self.nats.jetstream.request(subject, &()).await.context("asking NATS for its time")?;
        info["ts"]
            .as_str()
            .and_then(|time| time.parse().ok())
            .context("nats-server returned no time: update it to 2.15 or newer")
    }

    /// Sequence of the newest event that still exists, according to the leader; 0 if there is none.
    ///
    /// [`Follow`](crate::follow::Follow) delivers this event. It never delivers [`Bounds::last`] if that was erased.
    pub async fn head(&self) -> anyhow::Result<u64> {
        let filter = self.nats.namespace.events_filter(None, None);
        Ok(self.newest_on(&filter).await?.map_or(0, |message| message.sequence))
    }

    /// The newest event of an entity, according to the leader. `None` if it has no events.
    ///
    /// A replica could answer with an event that is older than our own last append.
    pub async fn newest(&self, entity: Entity) -> anyhow::Result<Option<StoredMessage>> {
        self.newest_on(&self.nats.namespace.entity_filter(entity)).await
    }

    async fn newest_on(&self, filter: &str) -> anyhow::Result<Option<StoredMessage>> {
        match self.stream.get_last_raw_message_by_subject(filter).await {
            Ok(message) => Ok(Some(message.into())),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading the newest event on {filter}")),
        }
    }

    /// The messages from a sequence on, from an ordered consumer.
    pub(crate) async fn ordered(&self, from: u64) -> anyhow::Result<pull::Ordered> {
        let config = OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            ..OrderedConfig::default()
        };
        let consumer =
            self.stream.create_consumer(config).await.context("creating a consumer of the event log")?;
        consumer.messages().await.context("reading the events")
    }
}
