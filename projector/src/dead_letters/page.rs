//! Reads the dead letters in their order, a page at a time.

use anyhow::Context;
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use domain::command::{DeadLetter, DeadLetterPage};
use domain::key::UserPk;
use futures_util::StreamExt;
use runtime::CancellationToken;
use runtime::nats::{ACK_TIMEOUT, Nats};

use super::{DeadLetterError, open, replay, summary};

/// How many are read at once where all are wanted.
const PAGE: usize = 500;

/// A page ends when its reasons are so long: it must fit into one message.
const MAX_BYTES: usize = 256 * 1024;

/// All dead letters, the oldest first.
pub async fn list(nats: &Nats) -> Result<Vec<DeadLetter>, DeadLetterError> {
    let mut letters = vec![];
    let mut next = Some(0);
    while let Some(after) = next {
        let mut read = page(nats, after, PAGE).await?;
        letters.append(&mut read.dead_letters);
        next = read.next;
    }
    Ok(letters)
}

/// Up to `limit` dead letters after a place, the oldest first; 0 is before the first one.
pub async fn page(nats: &Nats, after: u64, limit: usize) -> Result<DeadLetterPage, DeadLetterError> {
    read(nats, after, u64::MAX, limit).await.map_err(DeadLetterError::Away)
}

/// Replays every dead letter that is there now; what is set aside meanwhile, perhaps once more, is left.
///
/// `progress` is told how many were replayed, and how many were there. Returns how many were replayed; nothing where
/// the shutdown comes first.
pub async fn replay_all(
    nats: &Nats,
    asked_by: Option<UserPk>,
    mut progress: impl FnMut(u64, u64),
    shutdown: &CancellationToken,
) -> Result<Option<u64>, DeadLetterError> {
    let stream = open(nats).await.map_err(DeadLetterError::Away)?;
    let (last, of) = (stream.cached_info().state.last_sequence, stream.cached_info().state.messages);
    let (mut n_replayed, mut next) = (0, Some(0));
    while let Some(after) = next {
        let page = read(nats, after, last, PAGE).await.map_err(DeadLetterError::Away)?;
        for letter in page.dead_letters {
            if shutdown.is_cancelled() {
                return Ok(None);
            }
            match replay(nats, &letter.id, asked_by).await {
                Ok(_) => n_replayed += 1,
                // Somebody else replayed or dropped it since it was read.
                Err(DeadLetterError::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
            progress(n_replayed, of);
        }
        next = page.next;
    }
    Ok(Some(n_replayed))
}

/// Reads up to `limit` dead letters after a place, none of them beyond `last`.
async fn read(nats: &Nats, after: u64, last: u64, limit: usize) -> anyhow::Result<DeadLetterPage> {
    let mut page = DeadLetterPage { dead_letters: vec![], next: None };
    let config = OrderedConfig {
        headers_only: true,
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
        ..OrderedConfig::default()
    };
    let consumer = open(nats).await?.create_consumer(config).await.context("reading the dead letters")?;
    let mut n_pending = consumer.cached_info().num_pending;
    let mut n_bytes = 0;
    if n_pending == 0 {
        return Ok(page);
    }
    let mut messages = consumer.messages().await.context("reading the dead letters")?;
    while n_pending > 0 {
        // What was pending can be replayed or dropped before it comes.
        let Ok(message) = tokio::time::timeout(ACK_TIMEOUT, messages.next()).await else { return Ok(page) };
        let message = message.context("the dead letters ended early")?.context("reading the dead letters")?;
        let info = message.info().map_err(|error| anyhow::anyhow!("a message without its place: {error}"))?;
        if info.stream_sequence > last {
            break;
        }
        n_pending = info.pending;
        // Whatever else somebody put there is not ours to show.
        if let Some(id) = nats.namespace.delivery_of(&message.subject) {
            let letter = summary(&id, message.headers.as_ref().unwrap_or(&HeaderMap::new()));
            n_bytes += letter.reason.len();
            page.dead_letters.push(letter);
        }
        if page.dead_letters.len() >= limit || n_bytes >= MAX_BYTES {
            page.next = Some(info.stream_sequence).filter(|_| n_pending > 0);
            break;
        }
    }
    Ok(page)
}
