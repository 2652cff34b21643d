//! The live feed, read like a browser's `EventSource`: it reconnects with the last id it received.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

/// A subscription that survives restarts of the API.
pub struct Subscription {
    client: Client,
    url: String,
    token: String,
    last_id: Option<String>,
    answer: Option<Response>,
    buffer: Vec<u8>,
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `<epoch>-<sequence>`.
    pub id: Option<String>,
    /// The event's type.
    pub event: String,
    /// Its data.
    pub data: String,
}

impl Subscription {
    /// Subscribes with this query string, on its own connection even if clients share a pool.
    pub fn new(client: Client, api: &str, query: &str, token: String) -> Self {
        let url = format!("{api}/api/events/stream{query}");
        Self { client, url, token, last_id: None, answer: None, buffer: vec![] }
    }

    /// The next events. Empty if the connection ended or the API is unavailable: call again.
    pub async fn next(&mut self) -> Vec<Message> {
        if self.answer.is_none() {
            self.connect().await;
        }
        let Some(answer) = &mut self.answer else { return vec![] };
        let Ok(Some(chunk)) = answer.chunk().await else {
            // The connection ended: discard the incomplete block.
            (self.answer, self.buffer) = (None, vec![]);
            return vec![];
        };
        self.buffer.extend_from_slice(&chunk);
        let mut messages = vec![];
        while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
            messages.extend(self.read(std::str::from_utf8(&block).expect("the feed is UTF-8")));
        }
        messages
    }

    /// Whether the subscription is connected.
    pub fn is_connected(&self) -> bool {
        self.answer.is_some()
    }

    async fn connect(&mut self) {
        let mut request = self.client.get(&self.url).bearer_auth(&self.token);
        if let Some(id) = &self.last_id {
            request = request.header("Last-Event-ID", id);
        }
        match request.send().await {
            Ok(answer) if answer.status().is_success() => self.answer = Some(answer),
            Ok(answer) if answer.status().as_u16() == 503 => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(answer) => panic!("the feed answered {}", answer.status()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }

    fn read(&mut self, block: &str) -> Option<Message> {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim_start().to_owned())
        };
        let id = field("id");
        if id.is_some() {
            self.last_id.clone_from(&id);
        }
        Some(Message { id, event: field("event")?, data: field("data")? })
    }
}

/// A subscription that keeps every received event.
pub struct Feed {
    subscription: Subscription,
    /// All received events, in order.
    pub received: Vec<Received>,
}

/// One event of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// `<epoch>-<sequence>`.
    pub id: String,
    /// The event's type.
    pub event: String,
    /// The CloudEvent.
    pub data: Value,
}

impl Feed {
    /// Subscribes from the first event on.
    pub fn from_the_beginning(api: &str, token: String) -> Self {
        let subscription = Subscription::new(Client::new(), api, "?after=earliest", token);
        Self { subscription, received: vec![] }
    }

    /// Reads until the received events fulfil the condition.
    pub async fn read_until(&mut self, awaited: &str, mut holds: impl FnMut(&[Received]) -> bool) {
        let deadline = Instant::now() + testkit::wait::DEADLINE;
        while !holds(&self.received) {
            let Ok(messages) = timeout_at(deadline, self.subscription.next()).await else {
                let types: Vec<_> = self.received.iter().map(|received| received.event.as_str()).collect();
                panic!("timed out on the feed waiting until {awaited}; received {types:?}");
            };
            for Message { id, event, data } in
                messages.into_iter().filter(|message| message.event != "progress")
            {
                let data = serde_json::from_str(&data).expect("the data of an event is JSON");
                self.received.extend(id.map(|id| Received { id, event, data }));
            }
        }
    }

    /// Types of the events about one user, in order.
    pub fn types_of(&self, pk: i64) -> Vec<String> {
        let subject = format!("user/{pk}");
        let about = self.received.iter().filter(|received| received.data["subject"] == subject.as_str());
        about.map(|received| received.event.clone()).collect()
    }
}
