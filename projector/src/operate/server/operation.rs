//! Keeps the record of an operation, from its start to its end, for operators to follow.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::command::Failure;
use domain::key::UserPk;
use domain::operation::{Operation, OperationKind};
use runtime::nats::Nats;
use runtime::{CancellationToken, clock};
use serde::Serialize;
use serde_json::Value;
use store::operations::{self, HEARTBEAT, RunningOperation};
use store::publish::retry_delay;
use tokio::time::MissedTickBehavior;

use super::handlers::unavailable;

/// How many times to try to write the end of an operation; the delays add up to over half a minute.
const MAX_TRIES: u32 = 20;

/// The progress of an operation, set by its work and read by its heartbeat.
#[derive(Default)]
pub(super) struct Progress {
    done: AtomicU64,
    of: AtomicU64,
}

impl Progress {
    pub(super) fn set(&self, done: u64, of: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
    }

    fn copy_to(&self, record: &mut RunningOperation) {
        record.set_progress(self.done.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed));
    }
}

/// Writes the record of an operation before its work starts, so that every operation leaves a record.
pub(super) async fn begin(
    nats: &Nats,
    kind: OperationKind,
    subject: Option<String>,
    asked_by: Option<UserPk>,
) -> Result<RunningOperation, Failure> {
    let operation = Operation::begun(clock::new_id(), kind, subject, asked_by, clock::now());
    tracing::info!(operation.id = %operation.id, user.id = asked_by, "an operator started {kind:?}");
    let begun = RunningOperation::begin(nats, operation).await;
    begun.map_err(|error| unavailable(&anyhow::Error::new(error).context("writing the operation's record")))
}

/// Runs the work of an operation, and writes its progress to the record with every heartbeat.
pub(super) async fn run<T>(
    record: &mut RunningOperation,
    progress: &Progress,
    work: impl Future<Output = T>,
) -> T {
    let ended = CancellationToken::new();
    let work = async {
        let result = work.await;
        ended.cancel();
        result
    };
    let beats = async {
        let mut beats = tokio::time::interval(HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick completes immediately.
        beats.tick().await;
        while ended.run_until_cancelled(beats.tick()).await.is_some() {
            progress.copy_to(record);
            if let Err(error) = record.save().await {
                tracing::debug!("cannot write the progress of an operation: {error}");
            }
        }
    };
    let (result, ()) = futures_util::join!(work, beats);
    progress.copy_to(record);
    result
}

/// Writes the result of an operation to its record, and prunes old operations.
pub(super) async fn end<T: Serialize, E: Display>(
    mut record: RunningOperation,
    nats: &Nats,
    result: &Result<T, E>,
) {
    let id = record.operation().id;
    let result = match result {
        // The operation succeeded even if its result cannot be serialized.
        Ok(result) => Ok(serde_json::to_value(result).unwrap_or(Value::Null)),
        Err(error) => Err(format!("{error:#}")),
    };
    match &result {
        Ok(_) => tracing::info!(operation.id = %id, "operation {id} is done"),
        Err(error) => tracing::warn!(operation.id = %id, "operation {id} failed: {error}"),
    }
    let ended = clock::now();
    for n_tries in 0..MAX_TRIES {
        match record.end(result.clone(), ended).await {
            Ok(()) => break,
            Err(error) => tracing::warn!(operation.id = %id, "cannot write an operation's end: {error}"),
        }
        tokio::time::sleep(retry_delay(n_tries)).await;
    }
    if let Err(error) = operations::prune(nats).await {
        tracing::debug!("cannot prune old operations, the next operation will: {error:#}");
    }
}
