//! The caller.

use std::time::Duration;

use domain::hint::InternalHint;
use domain::view::users::UserView;
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::Serialize;

use super::Tag;
use crate::answer::{Answer, Json, Refusal};
use crate::caller::Caller;
use crate::hints;
use crate::people::Own;
use crate::refused::{CALLER, NOT_FOUND, Routed, TOO_MANY};

/// How long a request waits for its caller to be recorded.
const PATIENCE: Duration = Duration::from_secs(2);

/// The caller as they are recorded.
#[derive(Serialize, JsonSchema)]
pub struct Me {
    #[serde(flatten)]
    view: UserView,
    /// Whether they may read everything.
    is_admin: bool,
    /// The place in the log that this is true for.
    as_of: String,
}

/// The caller is not recorded yet.
#[derive(Serialize, JsonSchema)]
pub struct Pending {
    /// What is being done.
    status: &'static str,
}

/// A request that was stored, to be worked on.
#[derive(Serialize, JsonSchema)]
pub struct Accepted {
    /// Id of the delivery: `causationid` of the events that it leads to.
    pub delivery: String,
}

/// What `GET /api/me` answers.
#[derive(ApiResponse)]
pub enum MeAnswer {
    /// The caller as they are recorded.
    #[oai(status = 200)]
    RecordedState(Json<Box<Me>>),
    /// Nobody recorded the caller yet; authentik is being asked.
    #[oai(status = 202)]
    Pending(
        Json<Pending>,
        /// Seconds after which to ask again.
        #[oai(header = "Retry-After")]
        u32,
    ),
}

/// What a resync answers.
#[derive(ApiResponse)]
pub enum ResyncAnswer {
    /// Stored: the user will be looked at.
    #[oai(status = 202)]
    Accepted(
        Json<Accepted>,
        /// Where to see what comes of it: the events of the user from now on, none where nothing differs.
        #[oai(header = "Location")]
        String,
    ),
}

/// The routes of this group.
#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// The caller's own record.
    ///
    /// A caller whom nobody recorded yet, such as right after signing up, is looked up in authentik.
    #[oai(path = "/me", method = "get", tag = "Tag::Me")]
    async fn me(&self, caller: Caller) -> Routed<MeAnswer, { CALLER | NOT_FOUND }> {
        let own = match caller.own() {
            Some(own) => Some(own),
            None => look_up(&caller).await?,
        };
        let users = caller.live.users.get();
        let as_of = caller.live.cursor(users.sequence());
        let view = own.and_then(|own| users.read(|views| views.get(&own.pk.to_string()).cloned()));
        Ok(match view {
            Some(view) => {
                MeAnswer::RecordedState(Json(Box::new(Me { view, is_admin: caller.rights.is_admin, as_of })))
            }
            None => MeAnswer::Pending(Json(Pending { status: "pending" }), 2),
        })
    }

    /// Has authentik asked about the caller now.
    #[oai(path = "/me/resync", method = "post", tag = "Tag::Me")]
    async fn resync_me(&self, caller: Caller) -> Routed<ResyncAnswer, { CALLER | NOT_FOUND | TOO_MANY }> {
        let hint = match caller.own() {
            Some(own) => InternalHint::about_user(own.pk, "resync", Some(own.pk)),
            None => about_stranger(&caller, "resync")?,
        };
        Ok(resync(&caller, &hint).await?)
    }
}

/// Stores the hint; its id is how the caller finds what came of it.
pub async fn resync(caller: &Caller, hint: &InternalHint) -> Answer<ResyncAnswer> {
    caller.take_turn()?;
    let live = &caller.live;
    // Before the hint is given: what comes of it comes after this place.
    let now = live.cursor(live.feed.head());
    let location = match hint.user {
        Some(pk) => format!("/api/events?user={pk}&after={now}"),
        // Of whom nothing is recorded there are no events either.
        None => "/api/me".to_owned(),
    };
    let delivery = hints::give(&live.nats, hint).await?;
    Ok(ResyncAnswer::Accepted(Json(Accepted { delivery: delivery.to_string() }), location))
}

async fn look_up(caller: &Caller) -> Answer<Option<Own>> {
    let hint = about_stranger(caller, "first-request")?;
    let live = &caller.live;
    let mut changes = live.people.subscribe();
    live.hints.ask_about(&live.nats, &caller.claims.sub, &hint).await?;
    let appears = async {
        loop {
            let rights = live.people.rights(&live.users.get(), &caller.claims);
            if let Some(own) = rights.map_err(|revoked| Refusal::invalid_token(revoked.0))?.own {
                return Ok(own);
            }
            // The sender lives as long as `live`.
            let _ = changes.changed().await;
        }
    };
    tokio::time::timeout(PATIENCE, appears).await.ok().transpose()
}

/// A hint about a caller who is not recorded. authentik cannot be asked for a hashed id, but for the name beside it: who is
/// recorded then is the caller only where the id is theirs.
fn about_stranger(caller: &Caller, reason: &str) -> Answer<InternalHint> {
    let by_uuid = caller.claims.uuid().map(|uuid| InternalHint::about_uuid(uuid, reason));
    let by_name = || Some(InternalHint::about_username(caller.claims.username()?, reason));
    by_uuid.or_else(by_name).ok_or_else(|| {
        Refusal::not_found(
            "nobody with the hashed id in the token is recorded yet; the next sweep will find them",
        )
    })
}
