//! What operators had done.

use domain::operation::Operation;
use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::Serialize;
use store::operations;
use uuid::Uuid;

use super::Tag;
use crate::answer::{Json, Refusal};
use crate::caller::Caller;
use crate::refused::{ADMIN, BAD_REQUEST, NOT_FOUND, Routed};

/// Operations, the newest first.
#[derive(Serialize, JsonSchema)]
pub struct OperationList {
    /// The last 100.
    operations: Vec<Operation>,
}

/// What something that takes long answers.
#[derive(ApiResponse)]
pub enum Begun {
    /// It was begun, and goes on.
    #[oai(status = 202)]
    Accepted(
        Json<Box<Operation>>,
        /// Where to see how it goes.
        #[oai(header = "Location")]
        String,
    ),
}

impl Begun {
    pub fn of(operation: Operation) -> Self {
        let location = format!("/api/operations/{}", operation.id);
        Self::Accepted(Json(Box::new(operation)), location)
    }
}

/// The routes of this group.
#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// What admins had done, and are having done, the newest first: rebuilds, replays and drops.
    #[oai(path = "/operations", method = "get", tag = "Tag::Operations")]
    async fn list(&self, caller: Caller) -> Routed<Json<OperationList>, ADMIN> {
        caller.require_admin()?;
        let operations = operations::list(&caller.live.nats).await;
        let operations = operations.map_err(|error| Refusal::nats_away(&error))?;
        Ok(Json(OperationList { operations }))
    }

    /// One of them. One that is running changes about each second.
    #[oai(path = "/operations/:id", method = "get", tag = "Tag::Operations")]
    async fn one(
        &self,
        caller: Caller,
        id: Path<Uuid>,
    ) -> Routed<Json<Operation>, { ADMIN | BAD_REQUEST | NOT_FOUND }> {
        caller.require_admin()?;
        let operation = operations::read(&caller.live.nats, id.0).await;
        let operation = operation.map_err(|error| Refusal::nats_away(&error))?;
        let gone = || Refusal::not_found(format!("no operation {} is kept", id.0));
        Ok(Json(operation.ok_or_else(gone)?))
    }
}
