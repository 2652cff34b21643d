//! Deliveries that a projector set aside because no retry can succeed.

use domain::command::{
    DeadLetter, DeadLetterContent, DropDeadLetter, ListDeadLetters, ReplayDeadLetter, ReplayDeadLetters,
    Replayed, ShowDeadLetter,
};
use domain::key::DeliveryId;
use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::Serialize;

use super::operations::OperationStarted;
use super::parameters;
use super::tags::Tag;
use crate::answer::{ADMIN, Answer, BAD_REQUEST, Json, NOT_FOUND, RouteResult, TOO_MANY, bad_parameter};
use crate::caller::Caller;
use crate::projectors::execute;

/// A page of dead letters, oldest first.
#[derive(Serialize, JsonSchema)]
pub struct DeadLetterList {
    /// Can be fewer than `limit` if their reasons are long.
    dead_letters: Vec<DeadLetter>,
    /// Pass this as `cursor` to get the next page; missing on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The answer of a route that deletes a dead letter.
#[derive(ApiResponse)]
pub enum DeadLetterDropped {
    /// The dead letter is deleted.
    #[oai(status = 204)]
    Dropped,
}

#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Lists deliveries that were set aside because no retry can succeed, oldest first.
    #[oai(path = "/dead-letters", method = "get", tag = "Tag::DeadLetters")]
    async fn list(
        &self,
        caller: Caller,
        /// Maximum number of dead letters: 1 to 500, 50 by default.
        limit: Query<Option<u32>>,
        /// `next` of the previous page.
        cursor: Query<Option<String>>,
    ) -> RouteResult<Json<DeadLetterList>, { ADMIN | BAD_REQUEST }> {
        caller.require_admin()?;
        let limit = parameters::limit(limit.0)?;
        let after = parameters::page_cursor(cursor.0)?.unwrap_or(0);
        let page = execute(caller.live.nats(), caller.pk(), ListDeadLetters { after, limit }).await?;
        let next = page.next.map(|next| next.to_string());
        Ok(Json(DeadLetterList { dead_letters: page.dead_letters, next }))
    }

    /// Returns one dead letter with its headers and content, which can contain personal data.
    #[oai(path = "/dead-letters/:id", method = "get", tag = "Tag::DeadLetters")]
    async fn one(
        &self,
        caller: Caller,
        id: Path<String>,
    ) -> RouteResult<Json<DeadLetterContent>, { ADMIN | BAD_REQUEST | NOT_FOUND }> {
        caller.require_admin()?;
        let id = id_parameter(&id.0)?;
        Ok(Json(execute(caller.live.nats(), caller.pk(), ShowDeadLetter { id }).await?))
    }

    /// Replays one dead letter: moves it back into the inbox as a new delivery.
    #[oai(path = "/dead-letters/:id/replay", method = "post", tag = "Tag::DeadLetters")]
    async fn replay(
        &self,
        caller: Caller,
        id: Path<String>,
    ) -> RouteResult<Json<Replayed>, { ADMIN | BAD_REQUEST | NOT_FOUND | TOO_MANY }> {
        caller.require_admin()?;
        let id = id_parameter(&id.0)?;
        caller.check_rate_limit()?;
        Ok(Json(execute(caller.live.nats(), caller.pk(), ReplayDeadLetter { id }).await?))
    }

    /// Replays all dead letters that exist now.
    #[oai(path = "/dead-letters/replay", method = "post", tag = "Tag::DeadLetters")]
    async fn replay_all(&self, caller: Caller) -> RouteResult<OperationStarted, { ADMIN | TOO_MANY }> {
        caller.require_admin()?;
        caller.check_rate_limit()?;
        Ok(execute(caller.live.nats(), caller.pk(), ReplayDeadLetters {}).await?.into())
    }

    /// Deletes one dead letter permanently.
    #[oai(path = "/dead-letters/:id", method = "delete", tag = "Tag::DeadLetters")]
    async fn remove(
        &self,
        caller: Caller,
        id: Path<String>,
    ) -> RouteResult<DeadLetterDropped, { ADMIN | BAD_REQUEST | NOT_FOUND | TOO_MANY }> {
        caller.require_admin()?;
        let id = id_parameter(&id.0)?;
        caller.check_rate_limit()?;
        execute(caller.live.nats(), caller.pk(), DropDeadLetter { id }).await?;
        Ok(DeadLetterDropped::Dropped)
    }
}

fn id_parameter(text: &str) -> Answer<DeliveryId> {
    text.parse().map_err(|error| bad_parameter("id", error))
}
