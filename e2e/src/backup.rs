//! Backups of streams in use, with the JetStream requests that `nats stream backup` and `restore` send.

use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use testkit::wait::DEADLINE;
use tokio::time::timeout;

/// Bytes of a restored stream per message.
const CHUNK: usize = 64 * 1024;

/// A copy of a stream with its consumers.
pub struct Backup {
    name: String,
    /// Configuration and state of the stream, as the server reported them.
    description: Value,
    content: Vec<u8>,
}

impl Backup {
    /// Copies the current content of a stream.
    pub async fn of(client: &Client, stream: &str) -> Self {
        let inbox = client.new_inbox();
        let mut chunks = client.subscribe(inbox.clone()).await.expect("subscribing");
        let request = json!({"deliver_subject": inbox, "no_consumers": false, "jsck": true});
        let description =
            request_json(client, &format!("$JS.API.STREAM.SNAPSHOT.{stream}"), request.to_string()).await;
        let mut content = vec![];
        loop {
            let chunk = timeout(DEADLINE, chunks.next())
                .await
                .expect("a chunk arrives before the deadline")
                .expect("the subscription is open");
            // Flow control: the server sends the next chunk after this reply.
            if let Some(reply) = chunk.reply {
                client.publish(reply, Bytes::new()).await.expect("acknowledging a chunk");
            }
            if chunk.payload.is_empty() {
                assert!(chunk.headers.is_none(), "the backup failed: {:?}", chunk.headers);
                return Self { name: stream.to_owned(), description, content };
            }
            content.extend_from_slice(&chunk.payload);
        }
    }

    /// Creates the stream from the copy. A stream of this name must not exist.
    pub async fn restore(&self, client: &Client) {
        let subject = format!("$JS.API.STREAM.RESTORE.{}", self.name);
        let request = json!({"config": self.description["config"], "state": self.description["state"]});
        let started = request_json(client, &subject, request.to_string()).await;
        let target = started["deliver_subject"]
            .as_str()
            .expect("the server names the subject for the chunks")
            .to_owned();
        for chunk in self.content.chunks(CHUNK) {
            let sent = client.request(target.clone(), Bytes::copy_from_slice(chunk)).await;
            sent.expect("sending a chunk");
        }
        request_json(client, &target, String::new()).await;
    }
}

async fn request_json(client: &Client, subject: &str, request: String) -> Value {
    let answer = client.request(subject.to_owned(), request.into()).await;
    let answer = answer.unwrap_or_else(|error| panic!("{subject}: {error}"));
    let answer: Value = serde_json::from_slice(&answer.payload).expect("JetStream replies with JSON");
    assert!(answer["error"].is_null(), "{subject}: {answer}");
    answer
}
