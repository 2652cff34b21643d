//! A client of server-sent events.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use tokio::time::timeout;

use super::World;

/// One received event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub id: String,
    pub event: String,
    pub data: String,
}

impl Received {
    /// The sequence in the id.
    pub fn sequence(&self) -> u64 {
        self.id.rsplit('-').next().unwrap().parse().unwrap()
    }
}

pub struct Client {
    answer: Response,
    text: String,
    /// Everything that was received, including comments.
    pub raw: String,
}

impl World {
    /// Opens a stream, and waits for its preamble.
    pub async fn stream(&self, query: &str, token: &str, last_event_id: Option<&str>) -> Client {
        let request = reqwest::Client::new().get(format!("{}/api/events/stream{query}", self.api.url));
        let request = request.bearer_auth(token);
        let request =
            if let Some(id) = last_event_id { request.header("Last-Event-ID", id) } else { request };
        Client::open(request).await
    }
}

impl Client {
    /// Sends the request, and waits for the preamble of the stream.
    pub async fn open(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{}", answer.url());
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        let mut client = Self { answer, text: String::new(), raw: String::new() };
        while !client.raw.contains("retry: 2000\n") {
            assert!(client.receive().await, "the stream ended before it began");
        }
        client
    }

    /// Returns false at the end of the stream.
    async fn receive(&mut self) -> bool {
        let chunk =
            timeout(Duration::from_secs(20), self.answer.chunk()).await.expect("data arrives within 20 s");
        let Some(chunk) = chunk.expect("the connection is not aborted") else { return false };
        let chunk = std::str::from_utf8(&chunk).expect("chunks contain complete events");
        self.text.push_str(chunk);
        self.raw.push_str(chunk);
        true
    }

    /// The next event, or nothing at the end of the stream. Skips comments.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut received = Received::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => id.clone_into(&mut received.id),
                        Some(("event", event)) => event.clone_into(&mut received.event),
                        Some(("data", data)) => data.clone_into(&mut received.data),
                        _ => {}
                    }
                }
                self.text = String::from(rest);
                if !received.event.is_empty() {
                    return Some(received);
                }
            }
            if !self.receive().await {
                return None;
            }
        }
    }

    /// The sequences of the next `n` events.
    pub async fn sequences(&mut self, n: usize) -> Vec<u64> {
        self.take(n).await.iter().map(Received::sequence).collect()
    }

    /// The next `n` events.
    pub async fn take(&mut self, n: usize) -> Vec<Received> {
        let mut received = vec![];
        while received.len() < n {
            received.push(self.next().await.expect("the stream continues"));
        }
        received
    }
}
