//! Deliveries that no retry could mend.

use domain::command::{
    DeadLetter, DeadLetterContent, DropDeadLetter, ListDeadLetters, ReplayDeadLetter, ReplayDeadLetters,
    Replayed, ShowDeadLetter,
};
use domain::key::DeliveryId;
use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::Serialize;

use super::operations::Begun;
use super::{Tag, limit_parameter};
use crate::answer::{Answer, Json, bad_parameter};
use crate::caller::Caller;
use crate::projectors::ask;
use crate::refused::{ADMIN, BAD_REQUEST, NOT_FOUND, Routed, TOO_MANY};

/// Some dead letters, the oldest first.
#[derive(Serialize, JsonSchema)]
pub struct DeadLetterList {
    /// A page of long reasons can hold fewer than were asked for.
    dead_letters: Vec<DeadLetter>,
    /// Give this as `cursor` for more; missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What dropping a dead letter answers.
#[derive(ApiResponse)]
pub enum Dropped {
    /// It is gone.
    #[oai(status = 204)]
    Gone,
}

/// The routes of this group.
#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Deliveries that no retry could mend, the oldest first.
    #[oai(path = "/dead-letters", method = "get", tag = "Tag::DeadLetters")]
    async fn list(
        &self,
        caller: Caller,
        /// How many at most: 1 to 500, 50 by default.
        limit: Query<Option<u32>>,
        /// `next` of the page before.
        cursor: Query<Option<String>>,
    ) -> Routed<Json<DeadLetterList>, { ADMIN | BAD_REQUEST }> {
        caller.require_admin()?;
        let limit = limit_parameter(limit.0)?;
        let after = cursor.0.map_or(Ok(0), |cursor| cursor.parse());
        let after = after.map_err(|_| bad_parameter("cursor", "expected `next` of a page"))?;
        let page = ask(&caller.live.nats, caller.asked_by(), ListDeadLetters { after, limit }).await?;
        let next = page.next.map(|next| next.to_string());
        Ok(Json(DeadLetterList { dead_letters: page.dead_letters, next }))
    }

    /// One of them with headers and content, which can be personal data.
    #[oai(path = "/dead-letters/:id", method = "get", tag = "Tag::DeadLetters")]
    async fn one(
        &self,
        caller: Caller,
        id: Path<String>,
    ) -> Routed<Json<DeadLetterContent>, { ADMIN | BAD_REQUEST | NOT_FOUND }> {
        caller.require_admin()?;
        let id = id_parameter(&id.0)?;
        Ok(Json(ask(&caller.live.nats, caller.asked_by(), ShowDeadLetter { id }).await?))
    }

    /// Puts one of them into the inbox again, under an id of its own.
    #[oai(path = "/dead-letters/:id/replay", method = "post", tag = "Tag::DeadLetters")]
    async fn replay(
        &self,
        caller: Caller,
        id: Path<String>,
    ) -> Routed<Json<Replayed>, { ADMIN | BAD_REQUEST | NOT_FOUND | TOO_MANY }> {
        caller.require_admin()?;
        let id = id_parameter(&id.0)?;
        caller.take_turn()?;
        Ok(Json(ask(&caller.live.nats, caller.asked_by(), ReplayDeadLetter { id }).await?))
    }

    /// Puts all that are there now into the inbox again.
    #[oai(path = "/dead-letters/replay", method = "post", tag = "Tag::DeadLetters")]
    async fn replay_all(&self, caller: Caller) -> Routed<Begun, { ADMIN | TOO_MANY }> {
        caller.require_admin()?;
        caller.take_turn()?;
        let operation = ask(&caller.live.nats, caller.asked_by(), ReplayDeadLetters {}).await?;
        Ok(Begun::of(operation))
    }

    /// Deletes one of them for good.
    #[oai(path = "/dead-letters/:id", method = "delete", tag = "Tag::DeadLetters")]
    async fn remove(
        &self,
        caller: Caller,
        id: Path<String>,
    ) -> Routed<Dropped, { ADMIN | BAD_REQUEST | NOT_FOUND | TOO_MANY }> {
        caller.require_admin()?;
        let id = id_parameter(&id.0)?;
        caller.take_turn()?;
        ask(&caller.live.nats, caller.asked_by(), DropDeadLetter { id }).await?;
        Ok(Dropped::Gone)
    }
}

fn id_parameter(text: &str) -> Answer<DeliveryId> {
    text.parse().map_err(|error| bad_parameter("id", error))
}
