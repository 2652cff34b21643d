//! The status of the whole system: streams, backlog of the inbox, projections, dead letters, last sweep.

use anyhow::Context;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use domain::status::{InboxStatus, LastSweep, ProjectionStatus, Status, StreamStatus};
use store::views;

use crate::intake;
use crate::projections::{ProjectionName, Projections};
use crate::reconcile::LAST_SWEEP_KEY;

/// Reads the status from the stream leaders.
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
    match stream.consumer_info(intake::CONSUMER).await {
        Ok(consumer) => {
            let in_hand = u64::try_from(consumer.num_ack_pending).unwrap_or(u64::MAX);
            Ok(InboxStatus { pending: consumer.num_pending, in_hand })
        }
        // No projector has created the consumer yet.
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
    // Read the head after the checkpoint, so that the checkpoint never exceeds it.
    let lag = projections.log.head().await?.saturating_sub(checkpoint);
    Ok(ProjectionStatus { name: name.to_owned(), generation, checkpoint, lag })
}
