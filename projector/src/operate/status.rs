//! The status of the whole system: streams, backlog of the inbox, projections, dead letters, last sweep.

use anyhow::Context;
use async_nats::jetstream::consumer;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use domain::status::{InboxStatus, LastSweep, ProjectionStatus, Status, StreamStatus};
use runtime::nats::Nats;
use store::views;

use crate::intake;
use crate::projections::{ProjectionName, Projections};
use crate::reconcile::LAST_SWEEP_KEY;

/// Reads the status from the stream leaders.
pub async fn status(projections: &Projections) -> anyhow::Result<Status> {
    let namespace = &projections.nats.namespace;
    let inbox_stream = stream_status(projections, namespace.inbox_stream()).await?;
    let events_stream = stream_status(projections, namespace.events_stream()).await?;
    let dead_letters_stream = stream_status(projections, namespace.dead_letters_stream()).await?;
    let inbox = match inbox_consumer(&projections.nats).await? {
        Some(consumer) => {
            let in_hand = u64::try_from(consumer.num_ack_pending).unwrap_or(u64::MAX);
            InboxStatus { pending: consumer.num_pending, in_hand }
        }
        None => InboxStatus { pending: inbox_stream.messages, in_hand: 0 },
    };
    let mut states = vec![];
    for name in ProjectionName::ALL {
        states.push(projection_status(projections, name).await?);
    }
    let dead_letters = dead_letters_stream.messages;
    let streams = vec![inbox_stream, events_stream, dead_letters_stream];
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

/// The consumer of the inbox; nothing if no projector has created it yet.
pub(super) async fn inbox_consumer(nats: &Nats) -> anyhow::Result<Option<consumer::Info>> {
    let inbox = nats.jetstream.get_stream_no_info(nats.namespace.inbox_stream()).await;
    match inbox.context("opening the inbox")?.consumer_info(intake::CONSUMER).await {
        Ok(consumer) => Ok(Some(consumer)),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
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
