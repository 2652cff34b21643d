//! What the inbox and the dead letters hold of users.

use std::future::ready;
use std::time::Duration;

use anyhow::{Context, bail};
use async_nats::HeaderMap;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use domain::hint::ERASED_BODY;
use futures_util::TryStreamExt;
use runtime::nats::Nats;
use store::messages::{self, SequencedMessage};
use store::publish::{PublishError, retry_delay};
use tokio::time::Instant;

use super::traces::Traces;
use crate::intake::CONSUMER;

/// How many messages are erased at once.
pub(super) const AT_ONCE: usize = 16;

/// How often the inbox is looked at while it is worked off.
const LOOK: Duration = Duration::from_millis(200);

/// So often nothing may wait until it is believed: a replica can lag behind the inbox.
const IDLE_LOOKS: u32 = 3;

/// How often a replacement that meets another publish is tried.
const MAX_TRIES: u32 = 10;

/// Sequence of the last message that was stored; 0 where there is none.
pub(super) async fn head(nats: &Nats) -> anyhow::Result<u64> {
    let inbox =
        nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.context("opening the inbox")?;
    let state = &inbox.cached_info().state;
    Ok(if state.messages == 0 { 0 } else { state.last_sequence })
}

/// Waits until the projectors are done with everything up to `head`: what is erased there could be a hint about
/// somebody else. Fails where nothing moves for as long as `patience`.
pub(super) async fn worked_off(
    nats: &Nats,
    head: u64,
    patience: Duration,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<()> {
    let mut floor = 0;
    let mut n_idle = 0;
    let mut moved = Instant::now();
    loop {
        let look = look(nats).await?;
        progress(look.done);
        n_idle = if look.is_idle { n_idle + 1 } else { 0 };
        if look.done >= head || n_idle >= IDLE_LOOKS {
            return Ok(());
        }
        if look.done > floor {
            (floor, moved) = (look.done, Instant::now());
        }
        if moved.elapsed() >= patience {
            bail!(
                "the inbox is not being worked off, so nothing but the receipt was written: see `projector status`, \
                 have a projector run that reaches authentik, and repeat the command"
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How far the projectors are.
struct Look {
    /// Everything up to this sequence is acknowledged.
    done: u64,
    /// Nothing waits. A message that went away is never acknowledged.
    is_idle: bool,
}

async fn look(nats: &Nats) -> anyhow::Result<Look> {
    let inbox = nats.jetstream.get_stream_no_info(nats.namespace.inbox_stream()).await?;
    match inbox.consumer_info(CONSUMER).await {
        Ok(consumer) => Ok(Look {
            done: consumer.ack_floor.stream_sequence,
            is_idle: consumer.num_pending == 0 && consumer.num_ack_pending == 0,
        }),
        // No projector ever took anything.
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(Look { done: 0, is_idle: false }),
        Err(error) => Err(error).context("reading the inbox's consumer"),
    }
}

/// What is to be done about a message.
enum Found {
    /// It mentions one of them.
    Mention,
    /// It took the place of one that did.
    Replacement,
}

/// Erases what mentions the users up to `head`, and leaves an empty delivery in the place of each. Returns how many.
pub(super) async fn erase(
    nats: &Nats,
    traces: &Traces,
    head: u64,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<u64> {
    let all = messages::all(nats, &nats.namespace.inbox_stream(), OrderedConfig::default()).await?;
    let found = all
        .try_take_while(|placed| ready(Ok(placed.sequence <= head)))
        .inspect_ok(|placed| progress(placed.sequence))
        .try_filter_map(|placed| ready(Ok(found(traces, &placed.message).map(|found| (found, placed)))));
    let erased = found.map_ok(|(found, placed)| async move {
        let subject = placed.message.subject.to_string();
        match found {
            Found::Mention => erase_one(nats, subject, placed.sequence).await,
            Found::Replacement => erase_before(nats, &subject, placed.sequence).await,
        }
    });
    erased.try_buffer_unordered(AT_ONCE).try_fold(0, |sum, n| ready(Ok(sum + n))).await
}

fn found(traces: &Traces, message: &Message) -> Option<Found> {
    if message.payload == ERASED_BODY {
        return Some(Found::Replacement);
    }
    mentions(traces, message).then_some(Found::Mention)
}

fn mentions(traces: &Traces, message: &Message) -> bool {
    let headers = message.headers.iter().flat_map(HeaderMap::iter).flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values.iter().map(move |value| (name, value.as_str()))
    });
    traces.are_in(headers, &message.payload)
}

/// The replacement first: without it authentik's event log, or a late webhook, would bring the delivery in again.
async fn erase_one(nats: &Nats, subject: String, sequence: u64) -> anyhow::Result<u64> {
    let mut n_tries = 0;
    loop {
        match store::inbox::replace(nats, subject.clone(), sequence).await {
            // A conflict: a replacement is there, from a run that was cut off.
            Ok(_) | Err(PublishError::Conflict) => break,
            Err(PublishError::InFlight | PublishError::Busy | PublishError::Unacknowledged(_))
                if n_tries < MAX_TRIES =>
            {
                tokio::time::sleep(retry_delay(n_tries)).await;
                n_tries += 1;
            }
            Err(error) => return Err(error).context("taking the place of a delivery"),
        }
    }
    messages::erase(nats, &nats.namespace.inbox_stream(), sequence).await?;
    Ok(1)
}

/// Erases what a replacement took the place of, where a run was cut off in between.
async fn erase_before(nats: &Nats, subject: &str, replacement: u64) -> anyhow::Result<u64> {
    let name = nats.namespace.inbox_stream();
    let inbox = nats.jetstream.get_stream_no_info(&name).await.context("opening the inbox")?;
    let first = inbox.get_first_raw_message_by_subject(subject, 1).await;
    let first = first.context("reading what an empty delivery took the place of")?.sequence;
    if first >= replacement {
        return Ok(0);
    }
    messages::erase(nats, &name, first).await?;
    Ok(1)
}

/// Erases the dead letters that mention the users. Returns how many.
pub(super) async fn erase_dead_letters(nats: &Nats, traces: &Traces) -> anyhow::Result<u64> {
    let name = &nats.namespace.dead_letters_stream();
    let all = messages::all(nats, name, OrderedConfig::default()).await?;
    let found = all.try_filter_map(|SequencedMessage { sequence, message }| {
        ready(Ok(mentions(traces, &message).then_some(sequence)))
    });
    let erased = found.map_ok(|sequence| messages::erase(nats, name, sequence));
    erased.try_buffer_unordered(AT_ONCE).try_fold(0, |n, ()| ready(Ok(n + 1))).await
}
