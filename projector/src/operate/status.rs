//! `projector status`.

use anyhow::Context;
use domain::view::activity::Activity;
use domain::view::groups::Groups;
use domain::view::users::Users;
use domain::view::{CHECKPOINT_KEY, Checkpoint, Projection};
use runtime::nats::Nats;
use serde::Serialize;
use store::log::EventLog;
use store::views::{self, Pointer, pointer_key};

use super::Output;
use crate::sweep::{LAST_SWEEP_KEY, LastSweep};

#[derive(Serialize)]
struct Status {
    /// Deliveries that no worker took yet.
    inbox_waiting: u64,
    /// Deliveries that workers have in hand, or that wait to be tried again.
    inbox_in_hand: u64,
    events: u64,
    dead_letters: u64,
    projections: Vec<ProjectionStatus>,
    last_sweep: Option<LastSweep>,
}

#[derive(Serialize)]
struct ProjectionStatus {
    name: &'static str,
    /// Nothing where it was never folded.
    generation: Option<u64>,
    sequence: u64,
    /// How many sequences it is behind the newest event.
    lag: u64,
}

pub(super) async fn show(nats: &Nats, output: &Output) -> anyhow::Result<()> {
    let namespace = &nats.namespace;
    let inbox = nats.jetstream.get_stream(namespace.inbox_stream()).await.context("the inbox")?;
    let letters =
        nats.jetstream.get_stream(namespace.dead_letters_stream()).await.context("the dead letters")?;
    let events = nats.jetstream.get_stream(namespace.events_stream()).await.context("the events")?;
    let consumer = inbox.consumer_info(crate::inbox::CONSUMER).await.ok();
    let head = EventLog::open(nats).await?.head().await?;
    let sweep = views::read::<LastSweep>(nats, &namespace.meta_bucket(), LAST_SWEEP_KEY).await?;
    let projections = vec![
        projection::<Users>(nats, head).await?,
        projection::<Groups>(nats, head).await?,
        projection::<Activity>(nats, head).await?,
    ];
    let status = Status {
        inbox_waiting: consumer
            .as_ref()
            .map_or(inbox.cached_info().state.messages, |consumer| consumer.num_pending),
        inbox_in_hand: consumer.as_ref().map_or(0, |consumer| consumer.num_ack_pending as u64),
        events: events.cached_info().state.messages,
        dead_letters: letters.cached_info().state.messages,
        projections,
        last_sweep: sweep.map(|entry| entry.value),
    };
    output.show(&status, || text(&status))
}

async fn projection<P: Projection>(nats: &Nats, head: u64) -> anyhow::Result<ProjectionStatus> {
    let namespace = &nats.namespace;
    let pointer = views::read::<Pointer>(nats, &namespace.meta_bucket(), &pointer_key(P::NAME)).await?;
    let generation = pointer.map(|pointer| pointer.value.generation);
    let sequence = match generation {
        Some(generation) => {
            let bucket = namespace.projection_bucket(P::NAME, generation);
            let checkpoint = views::read::<Checkpoint>(nats, &bucket, CHECKPOINT_KEY).await?;
            checkpoint.map_or(0, |checkpoint| checkpoint.value.sequence)
        }
        None => 0,
    };
    Ok(ProjectionStatus { name: P::NAME, generation, sequence, lag: head.saturating_sub(sequence) })
}

fn text(status: &Status) -> String {
    let mut lines = vec![
        format!("inbox         {} waiting, {} in hand", status.inbox_waiting, status.inbox_in_hand),
        format!("events        {}", status.events),
        format!("dead letters  {}", status.dead_letters),
    ];
    for projection in &status.projections {
        let generation =
            projection.generation.map_or("never folded".to_owned(), |n| format!("generation {n}"));
        lines.push(format!("{:<13} {generation}, {} behind", projection.name, projection.lag));
    }
    lines.push(match &status.last_sweep {
        Some(sweep) => format!("last sweep    {} ({} users)", sweep.completed, sweep.report.n_users),
        None => "last sweep    never".to_owned(),
    });
    lines.join("\n")
}
