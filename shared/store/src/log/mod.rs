//! The log of events: append at an expected position, read the newest of one entity, page through it, follow it.

mod append;
mod page;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::pull::{self, OrderedConfig};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use domain::event::{Event, Recorded, Unreadable};
use domain::key::{Entity, Namespace};
use domain::timestamp::Timestamp;
use runtime::nats::Nats;
use tokio::sync::Semaphore;

use crate::follow::Follow;

/// Open batches that one process allows itself; a stream takes 50 from all.
const MAX_OPEN_BATCHES: usize = 8;

/// The stream of events. Clones share the connection.
#[derive(Clone, Debug)]
pub struct EventLog {
    nats: Nats,
    stream: Stream<()>,
    epoch: Arc<str>,
    batches: Arc<Semaphore>,
}

/// An event as it stands in the stream, not yet decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its sequence.
    pub sequence: u64,
    /// When the stream stored it.
    pub stored: Timestamp,
    /// Its subject.
    pub subject: String,
    /// The line of JSON.
    pub payload: Bytes,
}

impl StoredMessage {
    /// The event.
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

/// What the stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Sequence of the first message that is kept.
    pub first: u64,
    /// Sequence of the last message that was stored; 0 where there was none.
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
    /// Opens the stream, which must be there.
    pub async fn open(nats: &Nats) -> anyhow::Result<Self> {
        let name = nats.namespace.events_stream();
        let info =
            nats.jetstream.get_stream(&name).await.with_context(|| format!("opening stream {name}"))?;
        let epoch = info.cached_info().config.metadata.get("epoch").with_context(|| {
            format!(
                "stream {name} has no metadata.epoch: it was not made by the projector; see nats/README.md"
            )
        })?;
        let stream =
            nats.jetstream.get_stream_no_info(&name).await.context("opening the stream of events")?;
        let epoch = epoch.as_str().into();
        Ok(Self { nats: nats.clone(), stream, epoch, batches: Arc::new(Semaphore::new(MAX_OPEN_BATCHES)) })
    }

    /// Random id made with the stream: a cursor of another epoch is about another stream.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Prefix of the names.
    pub fn namespace(&self) -> &Namespace {
        &self.nats.namespace
    }

    /// First and last sequence, from the leader.
    pub async fn bounds(&self) -> anyhow::Result<Bounds> {
        let info = self.stream.get_info().await.context("reading the state of the stream of events")?;
        Ok(Bounds { first: info.state.first_sequence, last: info.state.last_sequence })
    }

    /// Sequence of the newest event that is kept, from the leader; 0 where there is none.
    ///
    /// What follows the log gets this one. It may never get [`Bounds::last`], which an erasure can leave behind.
    pub async fn head(&self) -> anyhow::Result<u64> {
        let filter = self.nats.namespace.events_filter(None, None);
        Ok(self.newest_on(&filter).await?.map_or(0, |message| message.sequence))
    }

    /// The newest event of an entity, from the leader: an answer of a replica could be older than our own append.
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

    /// How many messages on the subjects of `filter` were stored at this time or later.
    pub async fn count_since(&self, filter: &str, since: Timestamp) -> anyhow::Result<u64> {
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartTime { start_time: since.to_offset_date_time() },
            filter_subject: filter.to_owned(),
            ack_policy: AckPolicy::None,
            memory_storage: true,
            // It is asked one question only.
            inactive_threshold: Duration::from_secs(1),
            ..pull::Config::default()
        };
        let consumer = self.stream.create_consumer(config).await.context("counting events")?;
        Ok(consumer.cached_info().num_pending)
    }

    /// Follows the log from a sequence on, for ever; survives restarts of the server. Ends never by itself:
    /// an error is followed by another try.
    pub fn follow(&self, from: u64) -> Follow {
        Follow::new(self.clone(), self.nats.connects(), from)
    }

    pub(crate) async fn ordered(&self, from: u64) -> anyhow::Result<pull::Ordered> {
        let config = OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            ..OrderedConfig::default()
        };
        let consumer =
            self.stream.create_consumer(config).await.context("making a consumer of the events")?;
        consumer.messages().await.context("reading the events")
    }
}
