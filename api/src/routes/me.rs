//! The caller's own user.

use std::time::Duration;

use domain::hint::InternalHint;
use domain::view::users::{UserView, Users};
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::Serialize;

use super::tags::Tag;
use crate::answer::{Answer, CALLER, Json, NOT_FOUND, Refusal, RouteResult, TOO_MANY};
use crate::caller::Caller;
use crate::state::hints::store_hint;
use crate::state::people::OwnUser;

/// How long a request waits until its caller is recorded.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// The caller's recorded user.
#[derive(Serialize, JsonSchema)]
pub struct Me {
    #[serde(flatten)]
    view: UserView,
    /// Whether the caller may read everything.
    is_admin: bool,
    /// The position in the log up to which the answer is certainly current.
    as_of: String,
}

/// The caller is not recorded yet.
#[derive(Serialize, JsonSchema)]
pub struct Pending {
    /// Always `pending`: the caller is being read from authentik.
    status: &'static str,
}

/// A resync that was stored, and will be processed.
#[derive(Serialize, JsonSchema)]
pub struct Accepted {
    /// Id of the delivery. Events that it causes have it as `causationid`.
    pub delivery: String,
}

/// The answer of `GET /api/me`.
#[derive(ApiResponse)]
pub enum MeAnswer {
    /// The caller's recorded user.
    #[oai(status = 200)]
    RecordedState(Json<Box<Me>>),
    /// The caller is not recorded yet. They are being read from authentik.
    #[oai(status = 202)]
    Pending(
        Json<Pending>,
        /// Seconds to wait before the next request.
        #[oai(header = "Retry-After")]
        u32,
    ),
}

/// The answer of a resync.
#[derive(ApiResponse)]
pub enum ResyncAnswer {
    /// The resync is stored: a projector will read the user from authentik.
    #[oai(status = 202)]
    Accepted(
        Json<Accepted>,
        /// Path of the user's events from now on. No event appears if the recorded state is correct.
        #[oai(header = "Location")]
        String,
    ),
}

#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Returns the caller's own user.
    ///
    /// A caller who is not recorded yet, for example right after enrolling, is read from authentik.
    #[oai(path = "/me", method = "get", tag = "Tag::Me")]
    async fn me(&self, caller: Caller) -> RouteResult<MeAnswer, { CALLER | NOT_FOUND }> {
        let own = match caller.rights.own {
            Some(own) => Some(own),
            None => wait_until_recorded(&caller).await?,
        };
        let users = caller.live.replica::<Users>();
        let as_of = caller.live.cursor(users.sequence());
        let view = own.and_then(|own| users.read(|views| views.get(&own.pk.to_string()).cloned()));
        Ok(match view {
            Some(view) => {
                MeAnswer::RecordedState(Json(Box::new(Me { view, is_admin: caller.rights.is_admin, as_of })))
            }
            None => MeAnswer::Pending(Json(Pending { status: "pending" }), 2),
        })
    }

    /// Reads the caller from authentik again, and records what differs.
    #[oai(path = "/me/resync", method = "post", tag = "Tag::Me")]
    async fn resync_me(
        &self,
        caller: Caller,
    ) -> RouteResult<ResyncAnswer, { CALLER | NOT_FOUND | TOO_MANY }> {
        let hint = match caller.rights.own {
            Some(own) => InternalHint::about_user(own.pk, "resync", Some(own.pk)),
            None => hint_about_unrecorded(&caller, "resync")?,
        };
        Ok(resync(&caller, &hint).await?)
    }
}

/// Stores the hint, and answers where its events will appear.
pub async fn resync(caller: &Caller, hint: &InternalHint) -> Answer<ResyncAnswer> {
    caller.check_rate_limit()?;
    let live = &caller.live;
    // Taken before the hint is stored, so that its events come after it.
    let now = live.cursor(live.head());
    let location = match hint.user {
        Some(pk) => format!("/api/events?user={pk}&after={now}"),
        // An unrecorded caller has no primary key to filter by.
        None => "/api/me".to_owned(),
    };
    let delivery = store_hint(live.nats(), hint).await?;
    Ok(ResyncAnswer::Accepted(Json(Accepted { delivery: delivery.to_string() }), location))
}

async fn wait_until_recorded(caller: &Caller) -> Answer<Option<OwnUser>> {
    let hint = hint_about_unrecorded(caller, "first-request")?;
    let live = &caller.live;
    let mut changes = live.subscribe_rights();
    live.request_lookup(&caller.claims.sub, &hint).await?;
    let recorded = async {
        loop {
            if let Some(own) = live.rights(&caller.claims)?.own {
                return Ok(own);
            }
            // Cannot fail: `live` holds the sender.
            let _ = changes.changed().await;
        }
    };
    tokio::time::timeout(LOOKUP_TIMEOUT, recorded).await.ok().transpose()
}

/// A hint about a caller who is not recorded. authentik cannot look up a hashed id, so the hint then names the username of
/// the token. The user with that name counts as the caller only if the hashed id matches.
fn hint_about_unrecorded(caller: &Caller, reason: &str) -> Answer<InternalHint> {
    let by_uuid = caller.claims.uuid().map(|uuid| InternalHint::about_uuid(uuid, reason));
    let by_name = || Some(InternalHint::about_username(caller.claims.username()?, reason));
    by_uuid.or_else(by_name).ok_or_else(|| {
        Refusal::not_found(
            "no user with the token's hashed id is recorded; wait for the next sweep, which records all users",
        )
    })
}
