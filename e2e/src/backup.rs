//! Backups of streams while they are written, by the calls of JetStream that `nats stream backup` and `restore` make.

use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use testkit::wait::DEADLINE;
use tokio::time::timeout;

/// What one message of a restore may hold.
const CHUNK: usize = 64 * 1024;

/// A stream with its consumers.
pub struct Backup {
    name: String,
    /// Configuration and state, as the server gave them.
    about: Value,
    content: Vec<u8>,
}

impl Backup {
    /// Copies a stream as it is at this moment.
    pub async fn of(client: &Client, stream: &str) -> Self {
        let inbox = client.new_inbox();
        let mut chunks = client.subscribe(inbox.clone()).await.expect("subscribing");
        let request = json!({"deliver_subject": inbox, "no_consumers": false, "jsck": true});
        let about = ask(client, &format!("$JS.API.STREAM.SNAPSHOT.{stream}"), request.to_string()).await;
        let mut content = vec![];
        loop {
            let chunk = timeout(DEADLINE, chunks.next()).await.expect("a chunk in time").expect("a chunk");
            // Flow control: the next one is sent for this answer.
            if let Some(reply) = chunk.reply {
                client.publish(reply, Bytes::new()).await.expect("acknowledging a chunk");
            }
            if chunk.payload.is_empty() {
                assert!(chunk.headers.is_none(), "the backup failed: {:?}", chunk.headers);
                return Self { name: stream.to_owned(), about, content };
            }
            content.extend_from_slice(&chunk.payload);
        }
    }

    /// Makes the stream anew from the copy. It must not be there.
    pub async fn restore(&self, client: &Client) {
        let subject = format!("$JS.API.STREAM.RESTORE.{}", self.name);
        let request = json!({"config": self.about["config"], "state": self.about["state"]});
        let begun = ask(client, &subject, request.to_string()).await;
        let target = begun["deliver_subject"].as_str().expect("where to send the chunks").to_owned();
        for chunk in self.content.chunks(CHUNK) {
            let sent = client.request(target.clone(), Bytes::copy_from_slice(chunk)).await;
            sent.expect("sending a chunk");
        }
        ask(client, &target, String::new()).await;
    }
}

async fn ask(client: &Client, subject: &str, request: String) -> Value {
    let answer = client.request(subject.to_owned(), request.into()).await;
    let answer = answer.unwrap_or_else(|error| panic!("{subject}: {error}"));
    let answer: Value = serde_json::from_slice(&answer.payload).expect("JetStream answers in JSON");
    assert!(answer["error"].is_null(), "{subject}: {answer}");
    answer
}
