//! An operation from its begin to its end, as it is kept for whoever looks at it.

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

use super::answer::unavailable;

/// How often it is tried to keep how an operation ended: for more than half a minute.
const MAX_TRIES: u32 = 20;

/// How far some work is; told by the work, and read beside it.
#[derive(Default)]
pub(super) struct Progress {
    done: AtomicU64,
    of: AtomicU64,
}

impl Progress {
    pub(super) fn at(&self, done: u64, of: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
    }

    fn tell(&self, record: &mut RunningOperation) {
        record.set_progress(self.done.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed));
    }
}

/// Keeps an operation before anything is done: what an operator had done is never without a trace.
pub(super) async fn begin(
    nats: &Nats,
    kind: OperationKind,
    subject: Option<String>,
    asked_by: Option<UserPk>,
) -> Result<RunningOperation, Failure> {
    let operation = Operation::begun(clock::new_id(), kind, subject, asked_by, clock::now());
    tracing::info!(operation.id = %operation.id, user.id = asked_by, "an operator asked for {kind:?}");
    let begun = RunningOperation::begin(nats, operation).await;
    begun.map_err(|error| unavailable(&anyhow::Error::new(error).context("keeping the operation")))
}

/// Does the work, and keeps how far it is meanwhile.
pub(super) async fn follow<T>(
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
        // The first one comes at once.
        beats.tick().await;
        while ended.run_until_cancelled(beats.tick()).await.is_some() {
            progress.tell(record);
            if let Err(error) = record.save().await {
                tracing::debug!("cannot keep how far an operation is: {error}");
            }
        }
    };
    let (result, ()) = futures_util::join!(work, beats);
    progress.tell(record);
    result
}

/// Keeps how it ended, and makes room for later ones.
pub(super) async fn end<T: Serialize, E: Display>(
    mut record: RunningOperation,
    nats: &Nats,
    result: &Result<T, E>,
) {
    let id = record.operation().id;
    let result = match result {
        // What cannot be shown was done all the same.
        Ok(result) => Ok(serde_json::to_value(result).unwrap_or(Value::Null)),
        Err(error) => Err(format!("{error:#}")),
    };
    match &result {
        Ok(_) => tracing::info!(operation.id = %id, "an operation is done"),
        Err(error) => tracing::warn!(operation.id = %id, "an operation failed: {error}"),
    }
    let ended = clock::now();
    for n_tries in 0..MAX_TRIES {
        match record.end(result.clone(), ended).await {
            Ok(()) => break,
            Err(error) => tracing::warn!(operation.id = %id, "cannot keep how an operation ended: {error}"),
        }
        tokio::time::sleep(retry_delay(n_tries)).await;
    }
    // The next one will do it.
    if let Err(error) = operations::prune(nats).await {
        tracing::debug!("cannot delete old operations now: {error:#}");
    }
}
