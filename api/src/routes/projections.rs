//! Projections as an operator handles them.

use domain::command::Rebuild;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::Tag;
use super::operations::Begun;
use crate::caller::Caller;
use crate::projectors::ask;
use crate::refused::{ADMIN, CONFLICT, NOT_FOUND, Routed, TOO_MANY};

/// The routes of this group.
#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Folds all events into a new generation beside the one that is read, and switches to it at the end.
    ///
    /// One rebuild of a projection at a time. The operation's result has the new generation and its fingerprint:
    /// equal ones hold the same, byte for byte.
    #[oai(path = "/projections/:name/rebuild", method = "post", tag = "Tag::Operations")]
    async fn rebuild(
        &self,
        caller: Caller,
        /// `users`, `groups` or `activity`.
        name: Path<String>,
    ) -> Routed<Begun, { ADMIN | NOT_FOUND | CONFLICT | TOO_MANY }> {
        caller.require_admin()?;
        caller.take_turn()?;
        let rebuild = Rebuild { projection: name.0 };
        Ok(Begun::of(ask(&caller.live.nats, caller.asked_by(), rebuild).await?))
    }
}
