//! Operations: what operators have done, each kept under a key of the meta bucket.
//!
//! The projector that is at one writes it again every [`BEAT`]. Readers take one that is running and was not
//! written for long for abandoned, by the clock of the server that stores it: theirs may differ.

use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use domain::operation::{Operation, OperationState};
use domain::timestamp::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use runtime::nats::Nats;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::publish::PublishError;
use crate::views;

/// How many are kept, besides those that are running.
pub const KEPT: usize = 100;

/// How often an operation that is running is written.
pub const BEAT: Duration = Duration::from_secs(1);

/// Nobody is at an operation that was not written for so long.
const ABANDONED: Duration = Duration::from_secs(10);

/// How many are read at once.
const AT_ONCE: usize = 16;

/// An operation that this process is at. Nobody else writes it.
#[derive(Debug)]
pub struct Record {
    nats: Nats,
    operation: Operation,
    revision: u64,
}

impl Record {
    /// Keeps an operation that begins.
    pub async fn begin(nats: &Nats, operation: Operation) -> Result<Self, PublishError> {
        let mut record = Self { nats: nats.clone(), operation, revision: 0 };
        record.write().await?;
        Ok(record)
    }

    /// The operation as it stands.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// How far it is: kept with what is noted next.
    pub fn at(&mut self, done: u64, of: u64) {
        // What there is to do may have grown since it was counted.
        (self.operation.done, self.operation.of) = (done, of.max(done));
    }

    /// Notes how far it is, and that somebody is at it.
    pub async fn note(&mut self) -> Result<(), PublishError> {
        self.write().await
    }

    /// Notes how it ended. Where this fails it can be called again.
    pub async fn end(&mut self, result: Result<Value, String>, now: Timestamp) -> Result<(), PublishError> {
        self.operation.end(result, now);
        self.write().await
    }

    async fn write(&mut self) -> Result<(), PublishError> {
        let mut written = self.try_write().await;
        if written == Err(PublishError::Conflict)
            && let Ok(Some(stored)) = find(&self.nats, self.operation.id).await
        {
            // An earlier write of ours was stored, though its acknowledgement was lost.
            self.revision = stored.revision;
            written = self.try_write().await;
        }
        written
    }

    async fn try_write(&mut self) -> Result<(), PublishError> {
        let (bucket, key) = (self.nats.namespace.meta_bucket(), key(&self.operation.id.to_string()));
        let stored = views::write(&self.nats, &bucket, &key, &self.operation, self.revision).await?;
        self.revision = stored.sequence;
        Ok(())
    }
}

/// One operation; nothing where it is not kept.
pub async fn read(nats: &Nats, id: Uuid) -> anyhow::Result<Option<Operation>> {
    let found: Vec<_> = find(nats, id).await?.into_iter().collect();
    Ok(judged(nats, found).await?.pop().map(|stored| stored.operation))
}

/// All that are kept, the newest first.
pub async fn list(nats: &Nats) -> anyhow::Result<Vec<Operation>> {
    let mut stored = judged(nats, find_all(nats).await?).await?;
    stored.truncate(KEPT);
    Ok(stored.into_iter().map(|stored| stored.operation).collect())
}

/// Deletes the oldest ones where more than [`KEPT`] are there.
pub async fn prune(nats: &Nats) -> anyhow::Result<()> {
    let stored = judged(nats, find_all(nats).await?).await?;
    let ended = stored.into_iter().skip(KEPT).filter(|old| old.operation.state != OperationState::Running);
    let meta = open(nats).await?;
    for Stored { operation, revision, .. } in ended {
        // A marker of its deletion would stay for ever. What was written meanwhile stays.
        let purge = meta.purge().filter(subject(nats, &operation.id.to_string())).sequence(revision + 1);
        purge.await.with_context(|| format!("deleting operation {}", operation.id))?;
    }
    Ok(())
}

/// An operation as it stands in the bucket.
struct Stored {
    operation: Operation,
    revision: u64,
    written: Timestamp,
}

fn key(id: &str) -> String {
    format!("operation.{id}")
}

fn subject(nats: &Nats, id: &str) -> String {
    format!("$KV.{}.{}", nats.namespace.meta_bucket(), key(id))
}

fn stream_name(nats: &Nats) -> String {
    format!("KV_{}", nats.namespace.meta_bucket())
}

async fn open(nats: &Nats) -> anyhow::Result<Stream<()>> {
    nats.jetstream.get_stream_no_info(stream_name(nats)).await.context("opening the meta bucket")
}

async fn find(nats: &Nats, id: Uuid) -> anyhow::Result<Option<Stored>> {
    find_at(&open(nats).await?, &subject(nats, &id.to_string())).await
}

/// From the leader: a replica may not have yet what was begun a moment ago.
async fn find_at(meta: &Stream<()>, subject: &str) -> anyhow::Result<Option<Stored>> {
    let message = match meta.get_last_raw_message_by_subject(subject).await {
        Ok(message) => message,
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
        Err(error) => return Err(error).context("reading an operation"),
    };
    let operation = serde_json::from_slice(&message.payload);
    let operation = operation.with_context(|| format!("{subject} is not what this version writes"))?;
    Ok(Some(Stored { operation, revision: message.sequence, written: message.time.into() }))
}

async fn find_all(nats: &Nats) -> anyhow::Result<Vec<Stored>> {
    let meta = open(nats).await?;
    let subjects = meta.info_with_subjects(subject(nats, "*")).await.context("listing the operations")?;
    let subjects: Vec<(String, usize)> = subjects.try_collect().await.context("listing the operations")?;
    let found = stream::iter(subjects).map(|(subject, _)| {
        let meta = &meta;
        async move { find_at(meta, &subject).await }
    });
    // One that was deleted meanwhile is not there.
    found.buffer_unordered(AT_ONCE).try_filter_map(|stored| async { Ok(stored) }).try_collect().await
}

/// Marks those that nobody is at any more, and sorts them, the newest first.
async fn judged(nats: &Nats, mut stored: Vec<Stored>) -> anyhow::Result<Vec<Stored>> {
    if stored.iter().any(|stored| stored.operation.state == OperationState::Running) {
        let now = server_time(nats).await?.to_offset_date_time();
        for Stored { operation, written, .. } in &mut stored {
            let is_running = operation.state == OperationState::Running;
            if is_running && now - written.to_offset_date_time() > ABANDONED {
                operation.abandon(*written);
            }
        }
    }
    stored.sort_by(|one, other| {
        let order = |stored: &Stored| (stored.operation.began, stored.operation.id);
        order(other).cmp(&order(one))
    });
    Ok(stored)
}

/// Now, by the server that stores the operations.
async fn server_time(nats: &Nats) -> anyhow::Result<Timestamp> {
    #[derive(Deserialize)]
    struct Info {
        ts: Timestamp,
    }
    let subject = format!("$JS.API.STREAM.INFO.{}", stream_name(nats));
    let answer = nats.client.request(subject, "".into()).await.context("asking for the server's time")?;
    let info: Info = serde_json::from_slice(&answer.payload).context("reading the server's time")?;
    Ok(info.ts)
}
