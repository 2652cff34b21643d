//! Many clients of a feed that count the events they receive.

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{Client, Response};

/// Path of the feed.
pub const PATH: &str = "/api/events/stream";

/// Number of concurrent connection attempts.
const CONNECTING: usize = 64;

/// Start of each line with an event. Lines of `progress` start differently.
const EVENT: &[u8] = b"data: {\"";

/// One open stream.
struct Subscriber {
    answer: Response,
    /// An incomplete line.
    rest: Vec<u8>,
}

/// Open streams, each with its own connection.
pub struct Subscribers(Vec<Subscriber>);

impl Subscribers {
    /// Opens `n_streams` streams of new events.
    pub async fn connect(url: &str, token: &str, n_streams: usize) -> anyhow::Result<Self> {
        let client = Client::new();
        let connections = stream::iter(0..n_streams).map(|_| async {
            let answer = client.get(format!("{url}{PATH}")).bearer_auth(token).send().await;
            let answer = answer.and_then(Response::error_for_status).context("opening a stream")?;
            anyhow::Ok(Subscriber { answer, rest: vec![] })
        });
        Ok(Self(connections.buffer_unordered(CONNECTING).try_collect().await?))
    }

    /// Number of streams.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Waits until each stream has received exactly `n_events` events. Returns the total of all streams.
    pub async fn receive(&mut self, n_events: usize) -> anyhow::Result<usize> {
        let received = try_join_all(self.0.iter_mut().map(|subscriber| subscriber.receive(n_events))).await?;
        Ok(received.iter().sum())
    }
}

impl Subscriber {
    async fn receive(&mut self, n_events: usize) -> anyhow::Result<usize> {
        let mut n_received = 0;
        while n_received < n_events {
            let chunk = self.answer.chunk().await.context("reading a stream")?;
            self.rest.extend_from_slice(&chunk.context("a stream ended early")?);
            n_received += take_events(&mut self.rest);
        }
        ensure!(n_received == n_events, "a subscriber received {n_received} events instead of {n_events}");
        Ok(n_received)
    }
}

/// Removes the complete lines. Returns the number of events in them.
fn take_events(buffer: &mut Vec<u8>) -> usize {
    let end = buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let n_events = buffer[..end].split(|byte| *byte == b'\n').filter(|line| line.starts_with(EVENT)).count();
    buffer.drain(..end);
    n_events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_when_its_line_is_complete_and_progress_does_not_count() {
        let mut buffer =
            b": connected\n\nid: x-1\nevent: user-updated\ndata: {\"a\":1}\n\nid: x-2\ndata: {\"a".to_vec();
        assert_eq!(take_events(&mut buffer), 1);
        assert_eq!(take_events(&mut buffer), 0);
        buffer.extend_from_slice(b"\":2}\n\nid: x-3\nevent: progress\ndata: {}\n\n");
        assert_eq!(take_events(&mut buffer), 1);
        assert!(buffer.is_empty());
    }
}
