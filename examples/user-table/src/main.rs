//! An example of another service: it keeps its own table of users from the events. `docs/consuming.md` explains it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::{self, Message};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Takes the place of the service's database.
const TABLE: &str = "users.json";

/// Name of the consumer, for which NATS stores what was acknowledged. Each table needs a consumer of its own.
const CONSUMER: &str = "user-table";

/// Most events per write of the table.
const MAX_BATCH: usize = 256;

/// The newest state of a user.
#[derive(Serialize, Deserialize)]
struct Row {
    /// Sequence of the event with this state. An event with a smaller sequence is ignored.
    sequence: u64,
    /// `None` if the user was deleted or erased.
    user: Option<BTreeMap<String, Value>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Table {
    /// Identifies the stream that the sequences belong to.
    epoch: String,
    rows: BTreeMap<i64, Row>,
}

/// The part of an event that this service needs.
#[derive(Deserialize)]
struct Event {
    r#type: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    user: User,
}

#[derive(Deserialize)]
struct User {
    pk: i64,
    #[serde(flatten)]
    state: BTreeMap<String, Value>,
}

impl Table {
    fn load(path: &Path) -> anyhow::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).context("the table is damaged: delete it to rebuild it")
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context("reading the table"),
        }
    }

    /// Replaces the file atomically: a crash leaves either the old table or the new one.
    fn save(&self, path: &Path) -> anyhow::Result<()> {
        let new = path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?).context("writing the table")?;
        std::fs::rename(&new, path).context("replacing the table")
    }

    /// Applies an event. Events may arrive in any order and more than once.
    fn apply(&mut self, sequence: u64, event: Event) {
        let User { pk, state } = event.data.user;
        if self.rows.get(&pk).is_some_and(|row| row.sequence >= sequence) {
            return;
        }
        // Every other event carries the complete state of the user after it, even if its type is unknown here.
        let is_gone = matches!(event.r#type.as_str(), "user-deleted" | "user-erased");
        self.rows.insert(pk, Row { sequence, user: (!is_gone).then_some(state) });
    }

    fn newest(&self) -> u64 {
        self.rows.values().map(|row| row.sequence).max().unwrap_or_default()
    }
}

#[tokio::main]
async fn main() {
    loop {
        let Err(error) = follow(Path::new(TABLE)).await else { continue };
        eprintln!("retrying in a second: {error:#}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Keeps the table up to date until something fails.
async fn follow(path: &Path) -> anyhow::Result<()> {
    let mut table = Table::load(path)?;
    let consumer = consumer(&mut table).await?;
    let mut batches = consumer.messages().await.context("requesting events")?.ready_chunks(MAX_BATCH);
    while let Some(batch) = batches.next().await {
        let batch: Vec<Message> = batch.into_iter().collect::<Result<_, _>>().context("receiving events")?;
        for message in &batch {
            let sequence = message.info().map_err(anyhow::Error::from_boxed)?.stream_sequence;
            match serde_json::from_slice(&message.payload) {
                Ok(event) => table.apply(sequence, event),
                // Skipped and acknowledged: NATS would deliver it again forever.
                Err(error) => {
                    eprintln!("skipped message {sequence}, which is not an event about a user: {error}");
                }
            }
        }
        // Save first, then acknowledge: after a crash in between, NATS delivers events again that change nothing.
        table.save(path)?;
        for message in batch {
            message.ack().await.map_err(anyhow::Error::from_boxed)?;
        }
        eprintln!("the table contains the events up to {}", table.newest());
    }
    anyhow::bail!("the consumer delivers no more events")
}

async fn consumer(table: &mut Table) -> anyhow::Result<Consumer<pull::Config>> {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let (user, password) = (variable("NATS_USER", ""), variable("NATS_PASSWORD", ""));
    let options = ConnectOptions::with_user_and_password(user, password).name(CONSUMER);
    // The permissions of the user `consumer` allow replies only under this prefix.
    let options = options.custom_inbox_prefix(format!("_INBOX.{CONSUMER}"));
    let url = variable("NATS_URL", "nats://127.0.0.1:4222");
    let client = options.connect(url).await.context("connecting to NATS")?;
    let namespace = variable("NATS_NAMESPACE", "authentik");
    let stream = jetstream::new(client).get_stream(format!("{}_EVENTS", namespace.to_uppercase())).await;
    let stream = stream.context("opening the event log")?;

    let epoch = stream.cached_info().config.metadata.get("epoch").cloned().unwrap_or_default();
    if table.epoch != epoch {
        // The sequences in the table belong to another stream, so start again.
        *table = Table { epoch, rows: BTreeMap::new() };
    }
    let config = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        description: Some("A table of users".to_owned()),
        filter_subject: format!("{namespace}.events.user.>"),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        // After a crash, unacknowledged events are delivered again after this time.
        ack_wait: Duration::from_secs(5),
        ..pull::Config::default()
    };
    let consumer =
        stream.get_or_create_consumer(CONSUMER, config.clone()).await.context("creating the consumer")?;
    if consumer.cached_info().ack_floor.stream_sequence <= table.newest() {
        return Ok(consumer);
    }
    // The table was lost or restored from an older copy. It lacks acknowledged events, so read all events again.
    stream.delete_consumer(CONSUMER).await.context("deleting the consumer")?;
    stream.create_consumer(config).await.context("creating the consumer again")
}
