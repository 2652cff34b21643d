//! The log of events: append at an expected position, read the newest of one entity, page through it, follow it.

mod append;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::pull::{self, OrderedConfig};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use domain::event::{Event, Recorded, Unreadable};
use domain::key::{Entity, Namespace};
use domain::timestamp::Timestamp;
use futures_util::StreamExt;
use runtime::nats::Nats;
use serde_json::json;
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
pub enum From {
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
        match self.stream.get_last_raw_message_by_subject(&filter).await {
            Ok(message) => Ok(message.sequence),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(0),
            Err(error) => Err(error).context("reading the newest event"),
        }
    }

    /// The newest event of an entity, from the leader: an answer of a replica could be older than our own append.
    pub async fn newest(&self, entity: Entity) -> anyhow::Result<Option<StoredMessage>> {
        let filter = self.nats.namespace.entity_filter(entity);
        match self.stream.get_last_raw_message_by_subject(&filter).await {
            Ok(message) => Ok(Some(StoredMessage {
                sequence: message.sequence,
                stored: message.time.into(),
                subject: message.subject.to_string(),
                payload: message.payload,
            })),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading the newest event of {entity}")),
        }
    }

    /// Up to `limit` messages on the subjects of `filter`, oldest first.
    ///
    /// Answered by any replica: it may lack what was stored a moment ago.
    pub async fn page(&self, filter: &str, from: From, limit: usize) -> anyhow::Result<Vec<StoredMessage>> {
        let mut request = json!({"next_by_subj": filter, "batch": limit, "max_bytes": 4 * 1024 * 1024});
        match from {
            From::Sequence(sequence) => request["seq"] = json!(sequence.max(1)),
            From::Time(time) => request["start_time"] = json!(time),
        }
        let stream = self.nats.namespace.events_stream();
        let inbox = self.nats.client.new_inbox();
        let mut answers =
            self.nats.client.subscribe(inbox.clone()).await.context("subscribing for a page")?;
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let payload = Bytes::from(request.to_string());
        self.nats
            .client
            .publish_with_reply(subject, inbox, payload)
            .await
            .context("asking for a page of events")?;
        let mut messages = vec![];
        loop {
            let next = tokio::time::timeout(runtime::nats::ACK_TIMEOUT, answers.next()).await;
            let answer = next.context("no answer to a page of events")?.context("the connection ended")?;
            match answer.status.map(|status| status.as_u16()) {
                // 204: the end of a batch. 404: there is nothing.
                Some(204 | 404) => return Ok(messages),
                Some(status) => anyhow::bail!("a page of events was answered with {status}"),
                None => messages.push(from_direct_get(&answer)?),
            }
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

fn from_direct_get(message: &async_nats::Message) -> anyhow::Result<StoredMessage> {
    let headers = message.headers.as_ref().context("a stored message comes with headers")?;
    let header = |name: &str| {
        headers.get(name).map(async_nats::HeaderValue::as_str).with_context(|| format!("{name} is missing"))
    };
    Ok(StoredMessage {
        sequence: header("Nats-Sequence")?.parse().context("Nats-Sequence")?,
        stored: header("Nats-Time-Stamp")?.parse().context("Nats-Time-Stamp")?,
        subject: header("Nats-Subject")?.to_owned(),
        payload: message.payload.clone(),
    })
}
