//! The messages of a stream, whatever they are: all that are there, and the end of one for good.

use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::RawMessageErrorKind;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use runtime::nats::Nats;

/// A stream that has more and gives nothing for so long is not answering.
const QUIET: Duration = Duration::from_secs(30);

/// How often a deletion that was not acknowledged is tried.
const MAX_TRIES: u32 = 5;

/// A message and where it stands.
#[derive(Debug)]
pub struct Placed {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The message.
    pub message: Message,
}

/// Every message that the consumer is meant for and that is there now, oldest first.
///
/// What is stored meanwhile may be in it or not.
pub async fn all(
    nats: &Nats,
    stream: &str,
    config: OrderedConfig,
) -> anyhow::Result<BoxStream<'static, anyhow::Result<Placed>>> {
    let reading = format!("reading stream {stream}");
    let stream = nats.jetstream.get_stream_no_info(stream).await.with_context(|| reading.clone())?;
    let consumer = stream.create_consumer(config).await.with_context(|| reading.clone())?;
    let n_pending = consumer.cached_info().num_pending;
    let messages = consumer.messages().await.with_context(|| reading.clone())?;
    let all = stream::try_unfold((messages, n_pending), move |(mut messages, n_pending)| {
        let reading = reading.clone();
        async move {
            if n_pending == 0 {
                return Ok(None);
            }
            let next = tokio::time::timeout(QUIET, messages.next()).await;
            let next = next.with_context(|| format!("{reading}: nothing came, try again"))?;
            let message = next.with_context(|| format!("{reading}: it ended early"))?;
            let message = message.with_context(|| reading.clone())?;
            let info =
                message.info().map_err(|error| anyhow::anyhow!("a message without its place: {error}"))?;
            let (sequence, n_pending) = (info.stream_sequence, info.pending);
            Ok(Some((Placed { sequence, message }, (messages, n_pending))))
        }
    });
    Ok(all.boxed())
}

/// Deletes a message for good: the server overwrites its bytes. One that is not there is as good.
pub async fn erase(nats: &Nats, stream: &str, sequence: u64) -> anyhow::Result<()> {
    let erasing = || format!("deleting message {sequence} of stream {stream}");
    let stream = nats.jetstream.get_stream_no_info(stream).await.with_context(erasing)?;
    let mut n_tries = 0;
    loop {
        let Err(error) = stream.delete_message(sequence).await else { return Ok(()) };
        // It may be gone by an answer that was lost, or by another process.
        match stream.get_raw_message(sequence).await {
            Err(missing) if missing.kind() == RawMessageErrorKind::NoMessageFound => return Ok(()),
            Ok(_) | Err(_) if n_tries < MAX_TRIES => {
                tokio::time::sleep(crate::publish::retry_delay(n_tries)).await;
                n_tries += 1;
            }
            Ok(_) | Err(_) => return Err(error).with_context(erasing),
        }
    }
}
