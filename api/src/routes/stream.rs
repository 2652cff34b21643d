//! The live feed.

use domain::key::UserPk;
use poem::http::header;
use poem::{IntoResponse, Response};
use poem_openapi::param::{Header, Query};
use poem_openapi::registry::{MetaMediaType, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiResponse, OpenApi};

use super::Tag;
use super::events::filter_parameters;
use crate::answer::{bad_parameter, response};
use crate::caller::Caller;
use crate::cursor::{After, after_parameter, resolve};
use crate::feed::stream::Subscription;
use crate::refused::{BAD_REQUEST, CALLER, FORBIDDEN, GONE, Routed};

/// What is in the stream, for people who write a client.
const FORMAT: &str = "Server-sent events. Each event of the log is one: `id` is a cursor, `event` its type, `data` \
    the CloudEvent in one line, with a `data` of its own as `/api/schemas/{type}/v1` says. Besides: \
    `event: progress` moves the cursor where events are filtered, `event: token-expired` and `event: revoked` are \
    the last ones of a stream whose token is no longer good, lines that begin with a colon keep the connection \
    alive, and `retry` is how many milliseconds to wait before coming back with `Last-Event-ID`.";

/// A stream of server-sent events.
pub struct EventStream(Subscription);

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type("text/event-stream")
            .header(header::CACHE_CONTROL, "no-store")
            // Proxies such as nginx would hold the events back.
            .header("x-accel-buffering", "no")
            .body(self.0.into_body())
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

/// The routes of this group.
#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Events as they are recorded: all for admins, their own for others.
    ///
    /// `event: progress` moves the cursor where events are filtered. The stream ends with `event: token-expired`
    /// or `event: revoked` where the token is no longer good, else come back with the last id.
    #[oai(path = "/events/stream", method = "get", tag = "Tag::Events")]
    async fn stream(
        &self,
        caller: Caller,
        /// Where to begin: `now` (the default), `earliest`, a cursor, or a time in RFC 3339.
        after: Query<Option<String>>,
        /// Types of events, separated by commas.
        r#type: Query<Option<String>>,
        /// Primary key of a user.
        user: Query<Option<UserPk>>,
        /// The id of the last event that was received. Wins over `after`.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
    ) -> Routed<EventStream, { CALLER | BAD_REQUEST | FORBIDDEN | GONE }> {
        let filter = filter_parameters(r#type.0.as_deref(), user.0)?;
        let after = match last_event_id.0.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => {
                id.parse().map_err(|_| bad_parameter("Last-Event-ID", "expected the id of an event"))?
            }
            None => after_parameter(after.0.as_deref(), After::Now)?,
        };
        caller.narrow(filter.clone())?;
        let cursor = resolve(&caller.live, after).await?;
        Ok(EventStream(Subscription::new(caller, filter, cursor)))
    }
}
