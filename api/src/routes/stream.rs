//! The live feed.

use std::io;

use domain::key::UserPk;
use futures_util::StreamExt;
use poem::http::header;
use poem::{Body, IntoResponse, Response};
use poem_openapi::param::{Header, Query};
use poem_openapi::registry::{MetaMediaType, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiResponse, OpenApi};

use super::parameters;
use super::tags::Tag;
use crate::answer::{BAD_REQUEST, CALLER, FORBIDDEN, GONE, RouteResult, bad_parameter, response};
use crate::caller::Caller;
use crate::state::cursor::StartPosition;
use crate::subscription::Subscription;

/// The format of the stream, for authors of clients.
const FORMAT: &str = "Server-sent events. Each recorded event is one server-sent event: `id` is its cursor, `event` its \
    type, and `data` the CloudEvent on one line. `/api/schemas/{type}/v1` describes the CloudEvent's own `data`. In \
    addition, `event: progress` moves the cursor past filtered events; `event: token-expired` and `event: revoked` end a \
    stream whose token is no longer accepted; lines that start with a colon keep the connection alive; and `retry` is the \
    number of milliseconds to wait before reconnecting with `Last-Event-ID`.";

/// A stream of server-sent events.
pub struct EventStream(Subscription);

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type("text/event-stream")
            .header(header::CACHE_CONTROL, "no-store")
            // Otherwise proxies such as nginx buffer the events.
            .header("x-accel-buffering", "no")
            .body(Body::from_bytes_stream(self.0.into_chunks().map(Ok::<_, io::Error>)))
    }
}

impl ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
        let content = vec![MetaMediaType { content_type: "text/event-stream", schema }];
        MetaResponses { responses: vec![response(200, FORMAT, content)] }
    }

    fn register(_: &mut Registry) {}
}

#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Streams events as they are recorded. Admins get all events, others only events about themselves.
    ///
    /// `event: progress` moves the cursor past filtered events. `event: token-expired` and `event: revoked` end the
    /// stream; get a new token before reconnecting. After any other end, reconnect with the last id.
    #[oai(path = "/events/stream", method = "get", tag = "Tag::Events")]
    async fn stream(
        &self,
        caller: Caller,
        /// Start position: `now` (the default), `earliest`, a cursor, or a time in RFC 3339.
        after: Query<Option<String>>,
        /// Event types, separated by commas.
        r#type: Query<Option<String>>,
        /// Primary key of a user.
        user: Query<Option<UserPk>>,
        /// Id of the last event that the client received. Takes precedence over `after`.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
    ) -> RouteResult<EventStream, { CALLER | BAD_REQUEST | FORBIDDEN | GONE }> {
        let filter = parameters::event_filter(r#type.0.as_deref(), user.0)?;
        let start = match last_event_id.0.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => {
                id.parse().map_err(|_| bad_parameter("Last-Event-ID", "expected the id of an event"))?
            }
            None => parameters::start_position(after.0.as_deref(), StartPosition::Now)?,
        };
        caller.rights.narrow(filter.clone())?;
        let cursor = caller.live.resolve(start).await?;
        Ok(EventStream(Subscription::new(caller, filter, cursor)))
    }
}
