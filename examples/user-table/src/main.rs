//! Another service's own table of users, kept from the events: `docs/consuming.md` explains it.

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

/// Stands for that service's database.
const TABLE: &str = "users.json";

/// Name of the consumer, which remembers in NATS what was acknowledged. Each table needs one of its own.
const CONSUMER: &str = "user-table";

/// How many events are kept by one write.
const MAX_BATCH: usize = 256;

/// What is known of a user; without `user` the one is deleted or erased.
#[derive(Serialize, Deserialize)]
struct Row {
    /// Place of the event that says so: an older one changes nothing.
    sequence: u64,
    user: Option<BTreeMap<String, Value>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Table {
    /// Which stream the sequences are of.
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
                serde_json::from_slice(&bytes).context("the table is damaged: delete it to begin anew")
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context("reading the table"),
        }
    }

    /// Replaces the file at once, so that a crash leaves the one or the other.
    fn save(&self, path: &Path) -> anyhow::Result<()> {
        let new = path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?).context("writing the table")?;
        std::fs::rename(&new, path).context("replacing the table")
    }

    /// Takes in an event, in whatever order and however often it comes.
    fn apply(&mut self, sequence: u64, event: Event) {
        let User { pk, state } = event.data.user;
        if self.rows.get(&pk).is_some_and(|row| row.sequence >= sequence) {
            return;
        }
        // Every other event, also of a type that is not known here, carries the whole state of the user after it.
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
        eprintln!("trying again in a second: {error:#}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Keeps the table until something fails.
async fn follow(path: &Path) -> anyhow::Result<()> {
    let mut table = Table::load(path)?;
    let consumer = consumer(&mut table).await?;
    let mut batches = consumer.messages().await.context("asking for events")?.ready_chunks(MAX_BATCH);
    while let Some(batch) = batches.next().await {
        let batch: Vec<Message> = batch.into_iter().collect::<Result<_, _>>().context("receiving events")?;
        for message in &batch {
            let place = message.info().map_err(anyhow::Error::from_boxed)?.stream_sequence;
            match serde_json::from_slice(&message.payload) {
                Ok(event) => table.apply(place, event),
                // It would come again for ever.
                Err(error) => {
                    eprintln!("passed over message {place}, which is no event about a user: {error}");
                }
            }
        }
        // First kept, then acknowledged: what a crash leaves between the two comes again, and changes nothing.
        table.save(path)?;
        for message in batch {
            message.ack().await.map_err(anyhow::Error::from_boxed)?;
        }
        eprintln!("the table is as of event {}", table.newest());
    }
    anyhow::bail!("NATS gives no more events")
}

async fn consumer(table: &mut Table) -> anyhow::Result<Consumer<pull::Config>> {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let (user, password) = (variable("NATS_USER", ""), variable("NATS_PASSWORD", ""));
    let options = ConnectOptions::with_user_and_password(user, password).name(CONSUMER);
    // Where the rights of its user let it read answers.
    let options = options.custom_inbox_prefix(format!("_INBOX.{CONSUMER}"));
    let url = variable("NATS_URL", "nats://127.0.0.1:4222");
    let client = options.connect(url).await.context("connecting to NATS")?;
    let namespace = variable("NATS_NAMESPACE", "authentik");
    let stream = jetstream::new(client).get_stream(format!("{}_EVENTS", namespace.to_uppercase())).await;
    let stream = stream.context("opening the stream of events")?;

    let epoch = stream.cached_info().config.metadata.get("epoch").cloned().unwrap_or_default();
    if table.epoch != epoch {
        // Sequences of another stream say nothing about this one.
        *table = Table { epoch, rows: BTreeMap::new() };
    }
    let config = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        description: Some("A table of users".to_owned()),
        filter_subject: format!("{namespace}.events.user.>"),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        // What a crash leaves comes again after this time.
        ack_wait: Duration::from_secs(5),
        ..pull::Config::default()
    };
    let consumer =
        stream.get_or_create_consumer(CONSUMER, config.clone()).await.context("making the consumer")?;
    if consumer.cached_info().ack_floor.stream_sequence <= table.newest() {
        return Ok(consumer);
    }
    // The table was lost, or is an older copy: what it lacks was acknowledged long ago, so all is read again.
    stream.delete_consumer(CONSUMER).await.context("deleting the consumer")?;
    stream.create_consumer(config).await.context("making the consumer anew")
}
