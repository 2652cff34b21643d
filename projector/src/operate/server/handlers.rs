//! Decodes each operator command, handles it, and encodes its answer.

use domain::brake::BrakeStatus;
use domain::command::{
    Command, ConfirmDeletions, DeadLetter, DeadLetterContent, DeadLetterPage, DropDeadLetter, Failure,
    FailureKind, GetBrake, GetStatus, ListDeadLetters, Rebuild, ReplayDeadLetter, ReplayDeadLetters,
    Replayed, Request, ShowDeadLetter,
};
use domain::operation::OperationKind;
use domain::status::Status;

use super::{CommandServer, encode, operation};
use crate::dead_letters::{self, DeadLetterError};
use crate::operate::status;

impl CommandServer {
    /// Returns the encoded answer to a command. An unknown command or invalid payload is an error answer.
    pub(super) async fn answer(&self, name: &str, payload: &[u8]) -> Vec<u8> {
        match name {
            GetStatus::NAME => self.handle(payload, Self::status).await,
            ListDeadLetters::NAME => self.handle(payload, Self::list).await,
            ShowDeadLetter::NAME => self.handle(payload, Self::show).await,
            ReplayDeadLetter::NAME => self.handle(payload, Self::replay).await,
            ReplayDeadLetters::NAME => self.handle(payload, Self::replay_all).await,
            DropDeadLetter::NAME => self.handle(payload, Self::drop).await,
            Rebuild::NAME => self.handle(payload, Self::rebuild).await,
            GetBrake::NAME => self.handle(payload, Self::brake).await,
            ConfirmDeletions::NAME => self.handle(payload, Self::confirm_deletions).await,
            _ => encode::<()>(Err(Failure::new(
                FailureKind::BadRequest,
                "this projector does not know the command: update the projector to the version of the API",
            ))),
        }
    }

    async fn handle<C: Command>(
        &self,
        payload: &[u8],
        handler: impl AsyncFnOnce(&Self, Request<C>) -> Result<C::Answer, Failure>,
    ) -> Vec<u8> {
        let request = serde_json::from_slice::<Request<C>>(payload);
        encode(match request {
            Ok(request) => handler(self, request).await,
            Err(error) => {
                let detail = format!("the request for {} is invalid: {error}", C::NAME);
                Err(Failure::new(FailureKind::BadRequest, detail))
            }
        })
    }

    async fn status(&self, _: Request<GetStatus>) -> Result<Status, Failure> {
        status::status(&self.projections).await.map_err(|error| unavailable(&error))
    }

    async fn brake(&self, _: Request<GetBrake>) -> Result<BrakeStatus, Failure> {
        self.brake.status().await.map_err(|error| unavailable(&error))
    }

    async fn confirm_deletions(&self, request: Request<ConfirmDeletions>) -> Result<BrakeStatus, Failure> {
        let Request { asked_by, command: ConfirmDeletions { n_deletions } } = request;
        let (nats, kind) = (&self.projections.nats, OperationKind::ConfirmDeletions);
        let record = operation::begin(nats, kind, Some(n_deletions.to_string()), asked_by).await?;
        let confirmed = match self.brake.confirm(n_deletions, asked_by).await {
            Ok(()) => self.brake.status().await,
            Err(error) => Err(error),
        };
        operation::end(record, nats, &confirmed).await;
        confirmed.map_err(|error| unavailable(&error))
    }

    async fn list(&self, request: Request<ListDeadLetters>) -> Result<DeadLetterPage, Failure> {
        let ListDeadLetters { after, limit } = request.command;
        Ok(dead_letters::page(&self.projections.nats, after, limit).await?)
    }

    async fn show(&self, request: Request<ShowDeadLetter>) -> Result<DeadLetterContent, Failure> {
        Ok(dead_letters::show(&self.projections.nats, &request.command.id).await?.content())
    }

    async fn replay(&self, request: Request<ReplayDeadLetter>) -> Result<Replayed, Failure> {
        let Request { asked_by, command: ReplayDeadLetter { id } } = request;
        let nats = &self.projections.nats;
        // An unknown id must not leave an operation.
        dead_letters::show(nats, &id).await?;
        let kind = OperationKind::ReplayDeadLetters;
        let record = operation::begin(nats, kind, Some(id.to_string()), asked_by).await?;
        let replayed = dead_letters::replay(nats, &id, asked_by).await;
        operation::end(record, nats, &replayed).await;
        Ok(replayed?)
    }

    async fn drop(&self, request: Request<DropDeadLetter>) -> Result<DeadLetter, Failure> {
        let Request { asked_by, command: DropDeadLetter { id } } = request;
        let nats = &self.projections.nats;
        dead_letters::show(nats, &id).await?;
        let kind = OperationKind::DropDeadLetter;
        let record = operation::begin(nats, kind, Some(id.to_string()), asked_by).await?;
        let dropped = dead_letters::drop(nats, &id).await.map(|dropped| dropped.letter);
        operation::end(record, nats, &dropped).await;
        Ok(dropped?)
    }
}

/// Logs a failure of NATS and turns it into an answer.
pub(super) fn unavailable(error: &anyhow::Error) -> Failure {
    tracing::warn!("an operator command failed: {error:#}");
    Failure::new(FailureKind::Unavailable, format!("the command failed, retry it: {error:#}"))
}

impl From<DeadLetterError> for Failure {
    fn from(error: DeadLetterError) -> Self {
        match error {
            DeadLetterError::Unknown(id) => {
                Self::new(FailureKind::NotFound, format!("no dead letter has the id {id}"))
            }
            DeadLetterError::Unavailable(error) => unavailable(&error),
        }
    }
}
