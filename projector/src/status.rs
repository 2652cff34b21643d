//! What an operator wants to know at a glance: streams, backlog, projections.

use anyhow::Context;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use serde::Serialize;
use store::views;

use crate::inbox;
use crate::projections::{ProjectionName, Projections};
use crate::sweep::{LAST_SWEEP_KEY, LastSweep};

/// The whole system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Inbox, events, dead letters.
    pub streams: Vec<StreamStatus>,
    /// What the projectors have before them.
    pub inbox: InboxStatus,
    /// What readers are served.
    pub projections: Vec<ProjectionStatus>,
    /// Deliveries that wait for a person.
    pub dead_letters: u64,
    /// The last full comparison with authentik; nothing before the first one.
    pub last_sweep: Option<LastSweep>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamStatus {
    /// Its name.
    pub name: String,
    /// How many messages it holds.
    pub messages: u64,
    /// How much they take on disk.
    pub bytes: u64,
    /// Sequence of the first message that is kept.
    pub first_sequence: u64,
    /// Sequence of the last message that was stored.
    pub last_sequence: u64,
}

/// The backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct InboxStatus {
    /// Deliveries that no projector took yet.
    pub pending: u64,
    /// Deliveries that a projector has, or that wait for another try.
    pub in_hand: u64,
}

/// One projection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: &'static str,
    /// The generation that readers use; nothing before the first one.
    pub generation: Option<u64>,
    /// Sequence of the last event in it.
    pub checkpoint: u64,
    /// How far the newest event is ahead, in sequences.
    pub lag: u64,
}

/// Asks for everything, from the leaders.
pub async fn status(projections: &Projections) -> anyhow::Result<Status> {
    let namespace = &projections.nats.namespace;
    let mut streams = vec![];
    for name in [namespace.inbox_stream(), namespace.events_stream(), namespace.dead_letters_stream()] {
        streams.push(stream_status(projections, name).await?);
    }
    let inbox = inbox_status(projections).await?;
    let mut states = vec![];
    for name in ProjectionName::ALL {
        states.push(projection_status(projections, name).await?);
    }
    let dead_letters = streams.last().map_or(0, |stream| stream.messages);
    let meta = namespace.meta_bucket();
    let last_sweep = views::read::<LastSweep>(&projections.nats, &meta, LAST_SWEEP_KEY).await?;
    let last_sweep = last_sweep.map(|entry| entry.value);
    Ok(Status { streams, inbox, projections: states, dead_letters, last_sweep })
}

async fn stream_status(projections: &Projections, name: String) -> anyhow::Result<StreamStatus> {
    let stream = projections.nats.jetstream.get_stream(&name).await;
    let state = stream.with_context(|| format!("opening stream {name}"))?.cached_info().state.clone();
    Ok(StreamStatus {
        name,
        messages: state.messages,
        bytes: state.bytes,
        first_sequence: state.first_sequence,
        last_sequence: state.last_sequence,
    })
}

async fn inbox_status(projections: &Projections) -> anyhow::Result<InboxStatus> {
    let name = projections.nats.namespace.inbox_stream();
    let stream = projections.nats.jetstream.get_stream(&name).await.context("opening the inbox")?;
    match stream.consumer_info(inbox::CONSUMER).await {
        Ok(consumer) => {
            let in_hand = u64::try_from(consumer.num_ack_pending).unwrap_or(u64::MAX);
            Ok(InboxStatus { pending: consumer.num_pending, in_hand })
        }
        // No projector ever took anything.
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {
            Ok(InboxStatus { pending: stream.cached_info().state.messages, in_hand: 0 })
        }
        Err(error) => Err(error).context("reading the inbox's consumer"),
    }
}

async fn projection_status(
    projections: &Projections,
    name: ProjectionName,
) -> anyhow::Result<ProjectionStatus> {
    let name = name.as_str();
    let generation = projections.pointer(name).await?.map(|pointer| pointer.value.generation);
    let checkpoint = match generation {
        Some(generation) => projections.checkpoint(name, generation).await?,
        None => None,
    };
    let checkpoint = checkpoint.map_or(0, |checkpoint| checkpoint.value.sequence);
    // Read last: what is recorded meanwhile must not look like a checkpoint from the future.
    let lag = projections.log.head().await?.saturating_sub(checkpoint);
    Ok(ProjectionStatus { name, generation, checkpoint, lag })
}
