//! Long operator commands: the handler starts an operation, which continues in the background.

use anyhow::Context;
use domain::command::{Failure, FailureKind, Rebuild, ReplayDeadLetters, Request};
use domain::operation::{Operation, OperationKind};
use serde_json::json;
use store::operations::RunningOperation;

use super::handlers::unavailable;
use super::operation::{self, Progress};
use super::{CommandServer, shutting_down};
use crate::dead_letters;
use crate::lease::Held;
use crate::projections::ProjectionName;

impl CommandServer {
    pub(super) async fn rebuild(&self, request: Request<Rebuild>) -> Result<Operation, Failure> {
        let Request { asked_by, command: Rebuild { projection } } = request;
        let name = ProjectionName::ALL.into_iter().find(|name| name.as_str() == projection);
        let name = name.ok_or_else(|| {
            let names = ProjectionName::ALL.map(ProjectionName::as_str).join(", ");
            Failure::new(FailureKind::NotFound, format!("unknown projection: expected one of {names}"))
        })?;
        let claimed = self.projections.claim_rebuild(name, &self.shutdown).await;
        let lease = match claimed.map_err(|error| unavailable(&error))? {
            Some(Ok(lease)) => lease,
            Some(Err(refused)) => return Err(Failure::new(FailureKind::Conflict, refused.to_string())),
            None => return Err(shutting_down()),
        };
        let nats = &self.projections.nats;
        match operation::begin(nats, OperationKind::Rebuild, Some(projection), asked_by).await {
            Ok(record) => {
                let operation = record.operation().clone();
                let server = self.clone();
                self.tasks.spawn(Box::pin(server.rebuild_claimed(name, lease, record)));
                Ok(operation)
            }
            Err(failure) => {
                lease.give_back().await;
                Err(failure)
            }
        }
    }

    async fn rebuild_claimed(self, name: ProjectionName, lease: Held, mut record: RunningOperation) {
        let progress = Progress::default();
        let rebuilt =
            self.projections.rebuild_claimed(name, lease, |done, of| progress.set(done, of), &self.shutdown);
        let rebuilt = operation::run(&mut record, &progress, Box::pin(rebuilt)).await.and_then(|rebuilt| {
            rebuilt.context(
                "the projector was shut down during the rebuild, and readers still use the old generation: start \
                 the rebuild again",
            )
        });
        operation::end(record, &self.projections.nats, &rebuilt).await;
    }

    pub(super) async fn replay_all(&self, request: Request<ReplayDeadLetters>) -> Result<Operation, Failure> {
        let (nats, asked_by) = (&self.projections.nats, request.asked_by);
        let mut record = operation::begin(nats, OperationKind::ReplayDeadLetters, None, asked_by).await?;
        let operation = record.operation().clone();
        let server = self.clone();
        self.tasks.spawn(async move {
            let (nats, progress) = (&server.projections.nats, Progress::default());
            let set = |done, of| progress.set(done, of);
            let replayed = Box::pin(dead_letters::replay_all(nats, asked_by, set, &server.shutdown));
            let replayed = operation::run(&mut record, &progress, replayed).await;
            let replayed = replayed.map_err(anyhow::Error::from).and_then(|replayed| {
                let n_replayed = replayed.context(
                    "the projector was shut down before all dead letters were replayed: replay all again",
                )?;
                Ok(json!({"replayed": n_replayed}))
            });
            operation::end(record, nats, &replayed).await;
        });
        Ok(operation)
    }
}
