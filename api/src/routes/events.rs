//! The pull side of the feed.

use domain::event::EventType;
use domain::key::{Entity, UserPk};
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Tag, limit_parameter};
use crate::answer::{Answer, Json, Refusal, bad_parameter};
use crate::caller::Caller;
use crate::cursor::{After, after_parameter, resolve};
use crate::feed::{Filter, Limits, Reader};
use crate::refused::{BAD_REQUEST, CALLER, FORBIDDEN, GONE, Routed};

/// Largest answer, if it is more than one event.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// How often the stream is asked for one answer: events that pass a filter can be far apart.
const MAX_READS: u32 = 32;

/// Some events in their order.
#[derive(Serialize, JsonSchema)]
pub struct EventPage {
    /// CloudEvents as they are stored.
    #[schemars(with = "Vec<serde_json::Value>")]
    events: Vec<Box<RawValue>>,
    /// Give this as `after` for what comes next: now or later. There can be more even where `events` is empty, as one
    /// answer looks at some thousands of events.
    next: String,
    /// The last event that was known; `next` equals it at the end.
    as_of: String,
}

/// The routes of this group.
#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Events in their order: all for admins, their own for others.
    #[oai(path = "/events", method = "get", tag = "Tag::Events")]
    async fn list(
        &self,
        caller: Caller,
        /// Where to begin: `earliest` (the default), `now`, a cursor, or a time in RFC 3339.
        after: Query<Option<String>>,
        /// Types of events, separated by commas.
        r#type: Query<Option<String>>,
        /// Primary key of a user.
        user: Query<Option<UserPk>>,
        /// How many at most: 1 to 500, 50 by default.
        limit: Query<Option<u32>>,
    ) -> Routed<Json<EventPage>, { CALLER | BAD_REQUEST | FORBIDDEN | GONE }> {
        let filter = filter_parameters(r#type.0.as_deref(), user.0)?;
        Ok(page(&caller, filter, after.0.as_deref(), limit.0).await?)
    }
}

/// Reads the parameters `type` and `user`.
pub fn filter_parameters(types: Option<&str>, user: Option<UserPk>) -> Answer<Filter> {
    let names = types.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    let types = names.map(str::parse::<EventType>).collect::<Result<_, _>>();
    let types = types.map_err(|error| bad_parameter("type", error))?;
    Ok(Filter { entity: user.map(Entity::User), types })
}

/// A page of the events that the caller may see.
pub async fn page(
    caller: &Caller,
    filter: Filter,
    after: Option<&str>,
    limit: Option<u32>,
) -> Answer<Json<EventPage>> {
    let n_frames = limit_parameter(limit)?;
    let live = &caller.live;
    let after = after_parameter(after, After::Earliest)?;
    let allowed = caller.narrow(filter)?;
    let mut cursor = resolve(live, after).await?;
    let head = live.feed.head();
    let mut events = vec![];
    if let Some((filter, since)) = allowed {
        let mut reader = Reader { cursor: cursor.max(since) };
        let (mut n_bytes, mut n_reads) = (0, 0);
        while events.len() < n_frames && n_bytes < MAX_BYTES && n_reads < MAX_READS && reader.cursor < head {
            n_reads += 1;
            let limits = Limits { n_frames: n_frames - events.len(), n_bytes: MAX_BYTES - n_bytes };
            let frames = reader.next(&live.feed, &live.log, &filter, limits).await;
            for frame in frames.map_err(|error| Refusal::nats_away(&error))? {
                n_bytes += frame.line().len();
                events.extend(serde_json::from_slice(frame.line()).ok());
            }
        }
        cursor = reader.cursor;
    }
    // The feed may have moved on meanwhile.
    let as_of = live.cursor(head.max(cursor));
    Ok(Json(EventPage { events, next: live.cursor(cursor), as_of }))
}
