//! The messages of any stream: reading all of them, and erasing one.

use std::time::Duration;

use anyhow::{Context, anyhow};
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::stream::RawMessageErrorKind;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use runtime::nats::Nats;

/// How long to wait for the next message of a stream that has more.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How many times to retry a deletion that was not acknowledged.
const MAX_RETRIES: u32 = 5;

/// A message and its sequence in the stream.
#[derive(Debug)]
pub struct SequencedMessage {
    /// Sequence in the stream.
    pub sequence: u64,
    /// The message.
    pub message: Message,
}

/// Reads the messages of a stream in order.
pub struct Reader {
    messages: Ordered,
    /// Number of messages in the stream when the consumer was created.
    n_initial: u64,
    stream: String,
}

impl Reader {
    /// Creates a consumer of `stream` with this configuration.
    pub async fn open(nats: &Nats, stream: &str, config: OrderedConfig) -> anyhow::Result<Self> {
        let reading = || format!("reading stream {stream}");
        let source = nats.jetstream.get_stream_no_info(stream).await.with_context(reading)?;
        let consumer = source.create_consumer(config).await.with_context(reading)?;
        let n_initial = consumer.cached_info().num_pending;
        let messages = consumer.messages().await.with_context(reading)?;
        Ok(Self { messages, n_initial, stream: stream.to_owned() })
    }

    /// The next message, and the number of messages that the server counts after it.
    ///
    /// Fails if no message arrives within 30 seconds.
    pub async fn next(&mut self) -> anyhow::Result<(SequencedMessage, u64)> {
        let reading = || format!("reading stream {}", self.stream);
        let next = tokio::time::timeout(MAX_WAIT, self.messages.next()).await;
        let next = next.with_context(|| format!("{}: no message arrived; try again", reading()))?;
        let message = next.with_context(|| format!("{}: the consumer ended early", reading()))?;
        let message = message.with_context(reading)?;
        let info = message.info().map_err(|error| anyhow!("a message without a sequence: {error}"))?;
        let (sequence, n_pending) = (info.stream_sequence, info.pending);
        Ok((SequencedMessage { sequence, message }, n_pending))
    }
}

/// Every message of a stream that `config` selects, oldest first. Ends after the last one.
///
/// A message that is stored during the read may be missing. Do not use this for a bucket or another stream in which
/// messages replace each other: the server may then count too few remaining messages, so the read would end early.
pub async fn all(
    nats: &Nats,
    stream: &str,
    config: OrderedConfig,
) -> anyhow::Result<BoxStream<'static, anyhow::Result<SequencedMessage>>> {
    let reader = Reader::open(nats, stream, config).await?;
    let n_pending = reader.n_initial;
    let all = stream::try_unfold((reader, n_pending), |(mut reader, n_pending)| async move {
        if n_pending == 0 {
            return Ok(None);
        }
        let (message, n_pending) = reader.next().await?;
        Ok(Some((message, (reader, n_pending))))
    });
    Ok(all.boxed())
}

/// Deletes a message; the server overwrites its bytes on disk. Succeeds if the message does not exist.
pub async fn erase(nats: &Nats, stream: &str, sequence: u64) -> anyhow::Result<()> {
    let erasing = || format!("deleting message {sequence} of stream {stream}");
    let stream = nats.jetstream.get_stream_no_info(stream).await.with_context(erasing)?;
    let mut n_retries = 0;
    loop {
        let Err(error) = stream.delete_message(sequence).await else { return Ok(()) };
        // Another process may have deleted it, or this deletion succeeded and its answer was lost.
        match stream.get_raw_message(sequence).await {
            Err(missing) if missing.kind() == RawMessageErrorKind::NoMessageFound => return Ok(()),
            Ok(_) | Err(_) if n_retries < MAX_RETRIES => {
                tokio::time::sleep(crate::publish::retry_delay(n_retries)).await;
                n_retries += 1;
            }
            Ok(_) | Err(_) => return Err(error).with_context(erasing),
        }
    }
}
