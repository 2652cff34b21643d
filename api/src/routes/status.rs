//! How the system is.

use domain::command::ProjectorHealth;
use domain::status::{InboxStatus, LastSweep, ProjectionStatus};
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::Serialize;

use super::Tag;
use crate::answer::Json;
use crate::caller::Caller;
use crate::live::Live;
use crate::projectors;
use crate::refused::{ADMIN, Routed};

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
    /// The projectors that run now.
    projectors: Vec<ProjectorHealth>,
    /// What the projectors have before them; missing where none of them can be asked now.
    backlog: Option<InboxStatus>,
    /// What the projectors have folded; empty where none of them can be asked now.
    projections: Vec<ProjectionStatus>,
    /// The last full comparison with authentik; missing before the first one, and where no projector can be asked now.
    last_sweep: Option<LastSweep>,
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
    /// Projectors, backlog, sequences, lags and sizes.
    #[oai(path = "/status", method = "get", tag = "Tag::Operations")]
    async fn status(&self, caller: Caller) -> Routed<Json<Status>, ADMIN> {
        caller.require_admin()?;
        let live = &caller.live;
        let namespace = &live.nats.namespace;
        let (events_name, inbox_name) = (namespace.events_stream(), namespace.inbox_stream());
        let dead_letters_name = namespace.dead_letters_stream();
        let (events, inbox, dead_letters, seen, projectors) = futures_util::join!(
            stream_status(live, &events_name),
            stream_status(live, &inbox_name),
            stream_status(live, &dead_letters_name),
            projectors::status(&live.nats),
            projectors::roll_call(&live.nats),
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
            projectors,
            backlog: seen.as_ref().map(|seen| seen.inbox),
            last_sweep: seen.as_ref().and_then(|seen| seen.last_sweep),
            projections: seen.map(|seen| seen.projections).unwrap_or_default(),
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
