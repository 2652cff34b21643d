//! Reads the dead letters in order, page by page.

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

/// Page size when all dead letters are read.
const PAGE: usize = 500;

/// Most bytes of reasons per page, because a page must fit into one NATS message.
const MAX_BYTES: usize = 256 * 1024;

/// Returns all dead letters, oldest first.
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

/// Returns up to `limit` dead letters after the stream sequence `after`, oldest first.
pub async fn page(nats: &Nats, after: u64, limit: usize) -> Result<DeadLetterPage, DeadLetterError> {
    Ok(read(nats, after, u64::MAX, limit).await?)
}

/// Replays every dead letter that exists now, but not those added meanwhile, such as failed replays.
///
/// `progress` receives the number of replayed letters and their initial number. Returns the number of
/// replayed letters, or nothing if `shutdown` comes first.
pub async fn replay_all(
    nats: &Nats,
    asked_by: Option<UserPk>,
    mut progress: impl FnMut(u64, u64),
    shutdown: &CancellationToken,
) -> Result<Option<u64>, DeadLetterError> {
    let stream = open(nats).await?;
    let (last, of) = (stream.cached_info().state.last_sequence, stream.cached_info().state.messages);
    let (mut n_replayed, mut next) = (0, Some(0));
    while let Some(after) = next {
        let page = read(nats, after, last, PAGE).await?;
        for letter in page.dead_letters {
            if shutdown.is_cancelled() {
                return Ok(None);
            }
            match replay(nats, &letter.id, asked_by).await {
                Ok(_) => n_replayed += 1,
                // Another process replayed or dropped it meanwhile.
                Err(DeadLetterError::Unknown(_)) => {}
                Err(error) => return Err(error),
            }
            progress(n_replayed, of);
        }
        next = page.next;
    }
    Ok(Some(n_replayed))
}

/// Reads up to `limit` dead letters whose stream sequence is above `after` and at most `last`.
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
        // A pending letter may be replayed or dropped before it is delivered.
        let Ok(message) = tokio::time::timeout(ACK_TIMEOUT, messages.next()).await else { return Ok(page) };
        let message = message.context("the consumer ended early")?.context("reading the dead letters")?;
        let info = message.info().map_err(|error| anyhow::anyhow!("no stream position: {error}"))?;
        if info.stream_sequence > last {
            break;
        }
        n_pending = info.pending;
        // Skip foreign messages in the stream.
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
