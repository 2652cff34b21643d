//! How the system is.

use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::Serialize;

use super::Tag;
use crate::answer::{Answer, Json};
use crate::caller::Caller;
use crate::live::Live;

/// Where everything stands.
#[derive(Serialize, JsonSchema)]
pub struct Status {
    /// Whether NATS can be reached now.
    connected: bool,
    /// Id of the stream of events: a cursor of another one is about another stream.
    epoch: String,
    /// The stream of events; missing where it cannot be asked now.
    events: Option<StreamStatus>,
    /// Deliveries as they came; missing where it cannot be asked now.
    inbox: Option<StreamStatus>,
    /// Deliveries that were set aside; missing where it cannot be asked now.
    dead_letters: Option<StreamStatus>,
    /// The feed of this process.
    feed: Progress,
    /// This process's copy of `users`.
    users: Progress,
    /// This process's copy of `groups`.
    groups: Progress,
    /// This process's copy of `activity`.
    activity: Progress,
}

/// What a stream holds.
#[derive(Clone, Copy, Serialize, JsonSchema)]
struct StreamStatus {
    first_sequence: u64,
    last_sequence: u64,
    messages: u64,
    bytes: u64,
}

/// How far something has come.
#[derive(Serialize, JsonSchema)]
struct Progress {
    sequence: u64,
    /// How many sequences the stream is ahead; missing where it cannot be asked now.
    lag: Option<u64>,
}

/// The routes of this group.
#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Sequences, lags and sizes.
    #[oai(path = "/status", method = "get", tag = "Tag::Operations")]
    async fn status(&self, caller: Caller) -> Answer<Json<Status>> {
        caller.require_admin()?;
        let live = &caller.live;
        let namespace = &live.nats.namespace;
        let (events_name, inbox_name) = (namespace.events_stream(), namespace.inbox_stream());
        let dead_letters_name = namespace.dead_letters_stream();
        let (events, inbox, dead_letters) = futures_util::join!(
            stream_status(live, &events_name),
            stream_status(live, &inbox_name),
            stream_status(live, &dead_letters_name),
        );
        let progress = |sequence: u64| {
            let lag = events.map(|events| events.last_sequence.saturating_sub(sequence));
            Progress { sequence, lag }
        };
        Ok(Json(Status {
            connected: live.nats.is_connected(),
            epoch: live.log.epoch().to_owned(),
            events,
            inbox,
            dead_letters,
            feed: progress(live.feed.head()),
            users: progress(live.users.get().sequence()),
            groups: progress(live.groups.get().sequence()),
            activity: progress(live.activity.get().sequence()),
        }))
    }
}

/// Nothing where the stream cannot be asked: the rest of the status is worth having without it.
async fn stream_status(live: &Live, name: &str) -> Option<StreamStatus> {
    let stream = live.nats.jetstream.get_stream(name).await.ok()?;
    let state = &stream.cached_info().state;
    Some(StreamStatus {
        first_sequence: state.first_sequence,
        last_sequence: state.last_sequence,
        messages: state.messages,
        bytes: state.bytes,
    })
}
