//! Erases the messages in the inbox and the dead letters that mention users.

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

use super::identifiers::Identifiers;
use crate::intake::CONSUMER;

/// Most messages that are erased at the same time.
pub(super) const MAX_CONCURRENT: usize = 16;

/// How often to poll the inbox while waiting for the projectors.
const POLL: Duration = Duration::from_millis(200);

/// How many consecutive polls must find the inbox idle: a replica can lag behind the stream.
const IDLE_POLLS: u32 = 3;

/// How many times to try to publish a replacement that conflicts with another publish.
const MAX_TRIES: u32 = 10;

/// Sequence of the newest message in the inbox; 0 if the inbox is empty.
pub(super) async fn head(nats: &Nats) -> anyhow::Result<u64> {
    let inbox =
        nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.context("opening the inbox")?;
    let state = &inbox.cached_info().state;
    Ok(if state.messages == 0 { 0 } else { state.last_sequence })
}

/// Waits until the projectors have processed everything up to `head`: an erased message could also be a hint
/// about another user. Fails if the projectors make no progress for `max_idle`.
pub(super) async fn wait_until_processed(
    nats: &Nats,
    head: u64,
    max_idle: Duration,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<()> {
    let mut processed_before = 0;
    let mut n_idle = 0;
    let mut last_progress = Instant::now();
    loop {
        let InboxProgress { processed, is_idle } = inbox_progress(nats).await?;
        progress(processed);
        n_idle = if is_idle { n_idle + 1 } else { 0 };
        if processed >= head || n_idle >= IDLE_POLLS {
            return Ok(());
        }
        if processed > processed_before {
            (processed_before, last_progress) = (processed, Instant::now());
        }
        if last_progress.elapsed() >= max_idle {
            bail!(
                "the projectors make no progress with the inbox; the receipt is written, but nothing is erased yet: \
                 check `projector status`, run a projector that reaches authentik, and repeat the command"
            );
        }
        tokio::time::sleep(POLL).await;
    }
}

struct InboxProgress {
    /// Sequence up to which every message is acknowledged.
    processed: u64,
    /// No message is pending or unacknowledged. A deleted message never raises `processed`.
    is_idle: bool,
}

async fn inbox_progress(nats: &Nats) -> anyhow::Result<InboxProgress> {
    let inbox = nats.jetstream.get_stream_no_info(nats.namespace.inbox_stream()).await?;
    match inbox.consumer_info(CONSUMER).await {
        Ok(consumer) => Ok(InboxProgress {
            processed: consumer.ack_floor.stream_sequence,
            is_idle: consumer.num_pending == 0 && consumer.num_ack_pending == 0,
        }),
        // No projector has created the consumer yet.
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {
            Ok(InboxProgress { processed: 0, is_idle: false })
        }
        Err(error) => Err(error).context("reading the inbox's consumer"),
    }
}

/// Why a message in the inbox needs work.
enum Match {
    /// It mentions one of the users.
    Mention,
    /// It is the replacement of a message that did.
    Replacement,
}

/// Replaces all messages up to `head` that mention the users by empty deliveries.
///
/// Returns how many messages it erased. `progress` receives the sequence of each message.
pub(super) async fn erase(
    nats: &Nats,
    identifiers: &Identifiers,
    head: u64,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<u64> {
    let all = messages::all(nats, &nats.namespace.inbox_stream(), OrderedConfig::default()).await?;
    let found = all
        .try_take_while(|placed| ready(Ok(placed.sequence <= head)))
        .inspect_ok(|placed| progress(placed.sequence))
        .try_filter_map(|placed| ready(Ok(find(identifiers, &placed.message).map(|found| (found, placed)))));
    let erased = found.map_ok(|(found, placed)| async move {
        let subject = placed.message.subject.to_string();
        match found {
            Match::Mention => replace_and_erase(nats, subject, placed.sequence).await,
            Match::Replacement => erase_replaced(nats, &subject, placed.sequence).await,
        }
    });
    erased.try_buffer_unordered(MAX_CONCURRENT).try_fold(0, |sum, n| ready(Ok(sum + n))).await
}

fn find(identifiers: &Identifiers, message: &Message) -> Option<Match> {
    if message.payload == ERASED_BODY {
        return Some(Match::Replacement);
    }
    is_mentioned(identifiers, message).then_some(Match::Mention)
}

fn is_mentioned(identifiers: &Identifiers, message: &Message) -> bool {
    let headers = message.headers.iter().flat_map(HeaderMap::iter).flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values.iter().map(move |value| (name, value.as_str()))
    });
    identifiers.are_in(headers, &message.payload)
}

/// Publishes the replacement before it erases the message: with a free subject, a sweep of authentik's event
/// log or a late webhook would store the delivery again.
async fn replace_and_erase(nats: &Nats, subject: String, sequence: u64) -> anyhow::Result<u64> {
    let mut n_tries = 0;
    loop {
        match store::inbox::replace(nats, subject.clone(), sequence).await {
            // A conflict means that an interrupted run already published the replacement.
            Ok(_) | Err(PublishError::Conflict) => break,
            Err(PublishError::InFlight | PublishError::Busy | PublishError::Unacknowledged(_))
                if n_tries < MAX_TRIES =>
            {
                tokio::time::sleep(retry_delay(n_tries)).await;
                n_tries += 1;
            }
            Err(error) => return Err(error).context("replacing a delivery"),
        }
    }
    messages::erase(nats, &nats.namespace.inbox_stream(), sequence).await?;
    Ok(1)
}

/// Erases the message behind a replacement, if an interrupted run left it there. Returns how many it erased.
async fn erase_replaced(nats: &Nats, subject: &str, replacement: u64) -> anyhow::Result<u64> {
    let name = nats.namespace.inbox_stream();
    let inbox = nats.jetstream.get_stream_no_info(&name).await.context("opening the inbox")?;
    let first = inbox.get_first_raw_message_by_subject(subject, 1).await;
    let first = first.context("reading a replaced delivery")?.sequence;
    if first >= replacement {
        return Ok(0);
    }
    messages::erase(nats, &name, first).await?;
    Ok(1)
}

/// Erases the dead letters that mention the users. Returns how many it erased.
pub(super) async fn erase_dead_letters(nats: &Nats, identifiers: &Identifiers) -> anyhow::Result<u64> {
    let name = &nats.namespace.dead_letters_stream();
    let all = messages::all(nats, name, OrderedConfig::default()).await?;
    let found = all.try_filter_map(|SequencedMessage { sequence, message }| {
        ready(Ok(is_mentioned(identifiers, &message).then_some(sequence)))
    });
    let erased = found.map_ok(|sequence| messages::erase(nats, name, sequence));
    erased.try_buffer_unordered(MAX_CONCURRENT).try_fold(0, |n, ()| ready(Ok(n + 1))).await
}
