//! Operator actions on projections.

use domain::command::Rebuild;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::operations::OperationStarted;
use super::tags::Tag;
use crate::answer::{ADMIN, CONFLICT, NOT_FOUND, RouteResult, TOO_MANY};
use crate::caller::Caller;
use crate::projectors::execute;

#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Rebuilds a projection: folds all events into a new generation, and then switches readers to it.
    ///
    /// Each projection has at most one rebuild at a time. The operation's result has the new generation and its
    /// fingerprint; equal fingerprints mean equal content, byte for byte.
    #[oai(path = "/projections/:name/rebuild", method = "post", tag = "Tag::Operations")]
    async fn rebuild(
        &self,
        caller: Caller,
        /// `users`, `groups` or `activity`.
        name: Path<String>,
    ) -> RouteResult<OperationStarted, { ADMIN | NOT_FOUND | CONFLICT | TOO_MANY }> {
        caller.require_admin()?;
        caller.check_rate_limit()?;
        let rebuild = Rebuild { projection: name.0 };
        Ok(execute(caller.live.nats(), caller.pk(), rebuild).await?.into())
    }
}
