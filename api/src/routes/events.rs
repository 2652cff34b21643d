//! Recorded events, page by page.

use domain::key::UserPk;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::parameters;
use super::tags::Tag;
use crate::answer::{Answer, BAD_REQUEST, CALLER, FORBIDDEN, GONE, Json, Refusal, RouteResult};
use crate::caller::Caller;
use crate::feed::{Filter, ReadLimits, Reader};
use crate::state::cursor::StartPosition;

/// Maximum size of an answer in bytes. A single larger event is still returned.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Maximum number of reads for one answer: events that match a filter can be far apart.
const MAX_READS: u32 = 32;

/// A page of events, in order.
#[derive(Serialize, JsonSchema)]
pub struct EventPage {
    /// CloudEvents as they are stored.
    #[schemars(with = "Vec<serde_json::Value>")]
    events: Vec<Box<RawValue>>,
    /// Pass this as `after` to get the next page, now or later. There can be more events even if `events` is empty,
    /// because one answer examines a limited number of events.
    next: String,
    /// The position of the newest event. It equals `next` on the last page.
    as_of: String,
}

#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Lists events in order. Admins get all events, others only events about themselves.
    #[oai(path = "/events", method = "get", tag = "Tag::Events")]
    async fn list(
        &self,
        caller: Caller,
        /// Start position: `earliest` (the default), `now`, a cursor, or a time in RFC 3339.
        after: Query<Option<String>>,
        /// Event types, separated by commas.
        r#type: Query<Option<String>>,
        /// Primary key of a user.
        user: Query<Option<UserPk>>,
        /// Maximum number of events: 1 to 500, 50 by default.
        limit: Query<Option<u32>>,
    ) -> RouteResult<Json<EventPage>, { CALLER | BAD_REQUEST | FORBIDDEN | GONE }> {
        let filter = parameters::event_filter(r#type.0.as_deref(), user.0)?;
        Ok(page(&caller, filter, after.0.as_deref(), limit.0).await?)
    }
}

/// A page of the matching events that the caller may read.
pub async fn page(
    caller: &Caller,
    filter: Filter,
    after: Option<&str>,
    limit: Option<u32>,
) -> Answer<Json<EventPage>> {
    let n_frames = parameters::limit(limit)?;
    let live = &caller.live;
    let start = parameters::start_position(after, StartPosition::Earliest)?;
    let allowed = caller.rights.narrow(filter)?;
    let mut cursor = live.resolve(start).await?;
    let head = live.head();
    let mut events = vec![];
    if let Some(allowed) = allowed {
        let mut reader = Reader { cursor: cursor.max(allowed.after) };
        let (mut n_bytes, mut n_reads) = (0, 0);
        while events.len() < n_frames && n_bytes < MAX_BYTES && n_reads < MAX_READS && reader.cursor < head {
            n_reads += 1;
            let limits = ReadLimits { n_frames: n_frames - events.len(), n_bytes: MAX_BYTES - n_bytes };
            let frames = live.read_events(&mut reader, &allowed.filter, limits).await;
            for frame in frames.map_err(|error| Refusal::nats_unavailable(&error))? {
                n_bytes += frame.line().len();
                events.extend(serde_json::from_slice(frame.line()).ok());
            }
        }
        cursor = reader.cursor;
    }
    // The reader can be past `head`, which was read before.
    let as_of = live.cursor(head.max(cursor));
    Ok(Json(EventPage { events, next: live.cursor(cursor), as_of }))
}
