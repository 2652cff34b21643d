//! Long-running operator actions, which a projector executes.

use domain::operation::Operation;
use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::Serialize;
use store::operations;
use uuid::Uuid;

use super::tags::Tag;
use crate::answer::{ADMIN, BAD_REQUEST, Json, NOT_FOUND, Refusal, RouteResult};
use crate::caller::Caller;

/// Operations, newest first.
#[derive(Serialize, JsonSchema)]
pub struct OperationList {
    /// The last 100 operations.
    operations: Vec<Operation>,
}

/// The answer of a route that starts an operation.
#[derive(ApiResponse)]
pub enum OperationStarted {
    /// The operation has started, and continues in the background.
    #[oai(status = 202)]
    Accepted(
        Json<Box<Operation>>,
        /// Path of the operation, which shows its progress.
        #[oai(header = "Location")]
        String,
    ),
}

impl From<Operation> for OperationStarted {
    fn from(operation: Operation) -> Self {
        let location = format!("/api/operations/{}", operation.id);
        Self::Accepted(Json(Box::new(operation)), location)
    }
}

#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Lists running and completed operations, newest first: rebuilds, replays and drops.
    #[oai(path = "/operations", method = "get", tag = "Tag::Operations")]
    async fn list(&self, caller: Caller) -> RouteResult<Json<OperationList>, ADMIN> {
        caller.require_admin()?;
        let operations = operations::list(caller.live.nats()).await;
        let operations = operations.map_err(|error| Refusal::nats_unavailable(&error))?;
        Ok(Json(OperationList { operations }))
    }

    /// Returns one operation. A running operation changes about once a second.
    #[oai(path = "/operations/:id", method = "get", tag = "Tag::Operations")]
    async fn one(
        &self,
        caller: Caller,
        id: Path<Uuid>,
    ) -> RouteResult<Json<Operation>, { ADMIN | BAD_REQUEST | NOT_FOUND }> {
        caller.require_admin()?;
        let operation = operations::read(caller.live.nats(), id.0).await;
        let operation = operation.map_err(|error| Refusal::nats_unavailable(&error))?;
        let missing = || Refusal::not_found(format!("no operation {} is kept; only the last 100 are", id.0));
        Ok(Json(operation.ok_or_else(missing)?))
    }
}
