//! From a request to its answer.

use domain::command::{
    Command, DeadLetter, DeadLetterContent, DeadLetterPage, DropDeadLetter, Failure, FailureKind, GetStatus,
    ListDeadLetters, Rebuild, ReplayDeadLetter, ReplayDeadLetters, Replayed, Request, ShowDeadLetter,
};
use domain::operation::OperationKind;
use domain::status::Status;

use super::{CommandServer, operation, wire};
use crate::dead_letters::{self, DeadLetterError};
use crate::operate::status;

impl CommandServer {
    /// What is sent back, whatever came.
    pub(super) async fn answer(&self, name: &str, payload: &[u8]) -> Vec<u8> {
        match name {
            GetStatus::NAME => self.carry_out(payload, Self::status).await,
            ListDeadLetters::NAME => self.carry_out(payload, Self::list).await,
            ShowDeadLetter::NAME => self.carry_out(payload, Self::show).await,
            ReplayDeadLetter::NAME => self.carry_out(payload, Self::replay).await,
            ReplayDeadLetters::NAME => self.carry_out(payload, Self::replay_all).await,
            DropDeadLetter::NAME => self.carry_out(payload, Self::drop).await,
            Rebuild::NAME => self.carry_out(payload, Self::rebuild).await,
            _ => wire::<()>(Err(Failure::new(
                FailureKind::BadRequest,
                "this projector knows no such command: is it older than who asks?",
            ))),
        }
    }

    async fn carry_out<C: Command>(
        &self,
        payload: &[u8],
        execute: impl AsyncFnOnce(&Self, Request<C>) -> Result<C::Answer, Failure>,
    ) -> Vec<u8> {
        let request = serde_json::from_slice::<Request<C>>(payload);
        wire(match request {
            Ok(request) => execute(self, request).await,
            Err(error) => {
                let detail = format!("the request for {} is not understood: {error}", C::NAME);
                Err(Failure::new(FailureKind::BadRequest, detail))
            }
        })
    }

    async fn status(&self, _: Request<GetStatus>) -> Result<Status, Failure> {
        status::status(&self.projections).await.map_err(|error| unavailable(&error))
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
        // What is not there is no operation.
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

/// NATS is away, or something in it is not as it should be.
pub(super) fn unavailable(error: &anyhow::Error) -> Failure {
    tracing::warn!("a command was not carried out: {error:#}");
    Failure::new(FailureKind::Unavailable, format!("not carried out, try again: {error:#}"))
}

impl From<DeadLetterError> for Failure {
    fn from(error: DeadLetterError) -> Self {
        match error {
            DeadLetterError::Unknown(id) => {
                Self::new(FailureKind::NotFound, format!("no dead letter has the id {id}"))
            }
            DeadLetterError::Away(error) => unavailable(&error),
        }
    }
}
