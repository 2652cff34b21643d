//! The messages of a stream, whatever they are: all that are there, and the end of one for good.

use std::time::Duration;

use anyhow::{Context, anyhow};
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
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

/// Reads the messages of a stream one after the other.
pub struct Reader {
    messages: Ordered,
    /// Messages that stood there when the consumer was made.
    n_at_first: u64,
    stream: String,
}

impl Reader {
    /// Makes the consumer.
    pub async fn open(nats: &Nats, stream: &str, config: OrderedConfig) -> anyhow::Result<Self> {
        let reading = || format!("reading stream {stream}");
        let source = nats.jetstream.get_stream_no_info(stream).await.with_context(reading)?;
        let consumer = source.create_consumer(config).await.with_context(reading)?;
        let n_at_first = consumer.cached_info().num_pending;
        let messages = consumer.messages().await.with_context(reading)?;
        Ok(Self { messages, n_at_first, stream: stream.to_owned() })
    }

    /// The next message, and how many the server sees behind it. An error where none comes for long.
    pub async fn next(&mut self) -> anyhow::Result<(Placed, u64)> {
        let reading = || format!("reading stream {}", self.stream);
        let next = tokio::time::timeout(QUIET, self.messages.next()).await;
        let next = next.with_context(|| format!("{}: nothing came, try again", reading()))?;
        let message = next.with_context(|| format!("{}: it ended early", reading()))?;
        let message = message.with_context(reading)?;
        let info = message.info().map_err(|error| anyhow!("a message without its place: {error}"))?;
        let (sequence, n_pending) = (info.stream_sequence, info.pending);
        Ok((Placed { sequence, message }, n_pending))
    }
}

/// Every message that the consumer is meant for and that is there now, oldest first.
///
/// What is stored meanwhile may be in it or not. Not for a stream whose messages replace each other: while one does, the
/// server may count too few behind it.
pub async fn all(
    nats: &Nats,
    stream: &str,
    config: OrderedConfig,
) -> anyhow::Result<BoxStream<'static, anyhow::Result<Placed>>> {
    let reader = Reader::open(nats, stream, config).await?;
    let n_pending = reader.n_at_first;
    let all = stream::try_unfold((reader, n_pending), |(mut reader, n_pending)| async move {
        if n_pending == 0 {
            return Ok(None);
        }
        let (placed, n_pending) = reader.next().await?;
        Ok(Some((placed, (reader, n_pending))))
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
