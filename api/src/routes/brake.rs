//! The deletion brake.

use domain::brake::BrakeStatus;
use domain::command::{ConfirmDeletions, GetBrake};
use poem_openapi::OpenApi;
use poem_openapi::param::Query;

use super::tags::Tag;
use crate::answer::{ADMIN, BAD_REQUEST, Json, RouteResult, TOO_MANY, bad_parameter};
use crate::caller::Caller;
use crate::projectors::execute;

#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Returns the state of the deletion brake: the users whose deletion is held back, since when, and why.
    #[oai(path = "/brake", method = "get", tag = "Tag::Operations")]
    async fn status(&self, caller: Caller) -> RouteResult<Json<BrakeStatus>, { ADMIN }> {
        caller.require_admin()?;
        Ok(Json(execute(caller.live.nats(), caller.pk(), GetBrake {}).await?))
    }

    /// Confirms that users were deleted in authentik: the brake lets that many more deletions pass within one hour.
    ///
    /// The confirmation is recorded as an operation with the caller.
    #[oai(path = "/brake/confirm", method = "post", tag = "Tag::Operations")]
    async fn confirm(
        &self,
        caller: Caller,
        /// How many more deletions to allow, at least 1.
        deletions: Query<u64>,
    ) -> RouteResult<Json<BrakeStatus>, { ADMIN | BAD_REQUEST | TOO_MANY }> {
        caller.require_admin()?;
        if deletions.0 == 0 {
            return Err(bad_parameter("deletions", "expected at least 1").into());
        }
        caller.check_rate_limit()?;
        let confirm = ConfirmDeletions { n_deletions: deletions.0 };
        Ok(Json(execute(caller.live.nats(), caller.pk(), confirm).await?))
    }
}
