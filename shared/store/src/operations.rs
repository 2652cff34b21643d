//! Operations: the history of operator actions, one key of the meta bucket for each.
//!
//! The projector that runs an operation writes it every [`HEARTBEAT`]. Readers consider a running operation abandoned
//! that was not written for 10 seconds. They use the clock of the NATS server, because their own may differ from it.

use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::stream::Stream;
use domain::operation::{Operation, OperationState};
use domain::timestamp::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use runtime::nats::Nats;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::publish::PublishError;
use crate::views;

/// Number of operations to keep. Running ones are kept in addition.
pub const MAX_KEPT: usize = 100;

/// How often a running operation is written.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// A running operation that was not written for this time is abandoned.
const ABANDONED: Duration = Duration::from_secs(10);

/// How many operations to read concurrently.
const N_READS: usize = 16;

/// An operation that this process runs. No other process writes it.
#[derive(Debug)]
pub struct RunningOperation {
    nats: Nats,
    operation: Operation,
    revision: u64,
}

impl RunningOperation {
    /// Stores an operation that begins.
    pub async fn begin(nats: &Nats, operation: Operation) -> Result<Self, PublishError> {
        let mut running = Self { nats: nats.clone(), operation, revision: 0 };
        running.save().await?;
        Ok(running)
    }

    /// The operation, with progress that is perhaps not saved yet.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Sets the progress: `done` steps of `of`. The next [`RunningOperation::save`] stores it.
    pub fn set_progress(&mut self, done: u64, of: u64) {
        // The number of steps can have grown since it was counted.
        (self.operation.done, self.operation.of) = (done, of.max(done));
    }

    /// Stores how the operation ended. After an error it can be called again.
    pub async fn end(&mut self, result: Result<Value, String>, now: Timestamp) -> Result<(), PublishError> {
        self.operation.end(result, now);
        self.save().await
    }

    /// Stores the progress. Call it every [`HEARTBEAT`], so that readers do not consider the operation abandoned.
    pub async fn save(&mut self) -> Result<(), PublishError> {
        let mut written = self.try_save().await;
        if written == Err(PublishError::Conflict)
            && let Ok(Some(stored)) = find(&self.nats, &key(self.operation.id)).await
        {
            // An earlier write was stored, but its acknowledgement was lost.
            self.revision = stored.revision;
            written = self.try_save().await;
        }
        written
    }

    async fn try_save(&mut self) -> Result<(), PublishError> {
        let (bucket, key) = (self.nats.namespace.meta_bucket(), key(self.operation.id));
        let stored = views::write(&self.nats, &bucket, &key, &self.operation, self.revision).await?;
        self.revision = stored.sequence;
        Ok(())
    }
}

/// One operation. `None` if it does not exist or was pruned.
pub async fn read(nats: &Nats, id: Uuid) -> anyhow::Result<Option<Operation>> {
    let found: Vec<_> = find(nats, &key(id)).await?.into_iter().collect();
    Ok(marked_and_sorted(nats, found).await?.pop().map(|stored| stored.operation))
}

/// The newest [`MAX_KEPT`] operations, newest first.
pub async fn list(nats: &Nats) -> anyhow::Result<Vec<Operation>> {
    let mut stored = marked_and_sorted(nats, find_all(nats).await?).await?;
    stored.truncate(MAX_KEPT);
    Ok(stored.into_iter().map(|stored| stored.operation).collect())
}

/// Deletes all but the newest [`MAX_KEPT`] operations. Running ones are not deleted.
pub async fn prune(nats: &Nats) -> anyhow::Result<()> {
    let stored = marked_and_sorted(nats, find_all(nats).await?).await?;
    let ended =
        stored.into_iter().skip(MAX_KEPT).filter(|old| old.operation.state != OperationState::Running);
    let meta = open(nats).await?;
    for Stored { operation, revision, .. } in ended {
        // A purge leaves no deletion marker. The sequence keeps a version that was written since we read it.
        let subject = format!("{}{}", prefix(nats), key(operation.id));
        let purge = meta.purge().filter(subject).sequence(revision + 1);
        purge.await.with_context(|| format!("deleting operation {}", operation.id))?;
    }
    Ok(())
}

/// An operation in the bucket.
struct Stored {
    operation: Operation,
    revision: u64,
    written: Timestamp,
}

fn key(id: Uuid) -> String {
    format!("operation.{id}")
}

/// Prefix of the subjects of all keys.
fn prefix(nats: &Nats) -> String {
    format!("$KV.{}.", nats.namespace.meta_bucket())
}

fn stream_name(nats: &Nats) -> String {
    format!("KV_{}", nats.namespace.meta_bucket())
}

async fn open(nats: &Nats) -> anyhow::Result<Stream<()>> {
    nats.jetstream.get_stream_no_info(stream_name(nats)).await.context("opening the meta bucket")
}

async fn find(nats: &Nats, key: &str) -> anyhow::Result<Option<Stored>> {
    let Some(message) = views::newest(nats, &nats.namespace.meta_bucket(), key).await? else {
        return Ok(None);
    };
    let operation = serde_json::from_slice(&message.payload);
    let operation = operation.with_context(|| format!("{key} is not what this version writes"))?;
    Ok(Some(Stored { operation, revision: message.sequence, written: message.time.into() }))
}

async fn find_all(nats: &Nats) -> anyhow::Result<Vec<Stored>> {
    let prefix = prefix(nats);
    let subjects = open(nats).await?.info_with_subjects(format!("{prefix}operation.*")).await;
    let subjects = subjects.context("listing the operations")?;
    let subjects: Vec<(String, usize)> = subjects.try_collect().await.context("listing the operations")?;
    let found = stream::iter(subjects).map(|(subject, _)| {
        let key = subject.replacen(&prefix, "", 1);
        async move { find(nats, &key).await }
    });
    // An operation that was deleted since it was listed is `None`.
    found.buffer_unordered(N_READS).try_filter_map(|stored| async { Ok(stored) }).try_collect().await
}

/// Marks abandoned operations as failed and sorts all, newest first.
async fn marked_and_sorted(nats: &Nats, mut stored: Vec<Stored>) -> anyhow::Result<Vec<Stored>> {
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

/// The current time of the NATS server that stores the operations.
async fn server_time(nats: &Nats) -> anyhow::Result<Timestamp> {
    #[derive(Deserialize)]
    struct Info {
        ts: Timestamp,
    }
    let subject = format!("$JS.API.STREAM.INFO.{}", stream_name(nats));
    let answer = nats.client.request(subject, "".into()).await.context("requesting the server's time")?;
    let info: Info = serde_json::from_slice(&answer.payload).context("reading the server's time")?;
    Ok(info.ts)
}
