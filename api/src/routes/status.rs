//! The state of the system.

use domain::command::ProjectorHealth;
use domain::status::{InboxStatus, LastSweep, ProjectionStatus};
use domain::view::activity::Activity;
use domain::view::groups::Groups;
use domain::view::users::Users;
use poem_openapi::OpenApi;
use runtime::nats::Nats;
use schemars::JsonSchema;
use serde::Serialize;

use super::tags::Tag;
use crate::answer::{ADMIN, Json, RouteResult};
use crate::caller::Caller;
use crate::projectors;

/// The state of the system.
#[derive(Serialize, JsonSchema)]
pub struct Status {
    /// Whether this process is connected to NATS.
    connected: bool,
    /// Id of the stream of events. Cursors with another epoch belong to another stream.
    epoch: String,
    /// The stream of events; null if its state cannot be read.
    events: Option<StreamStatus>,
    /// The inbox, which holds deliveries; null if its state cannot be read.
    inbox: Option<StreamStatus>,
    /// The dead letters; null if their state cannot be read.
    dead_letters: Option<StreamStatus>,
    /// The running projectors.
    projectors: Vec<ProjectorHealth>,
    /// Deliveries that the projectors have not completed; null if no projector answers.
    backlog: Option<InboxStatus>,
    /// The projections in NATS; empty if no projector answers.
    projections: Vec<ProjectionStatus>,
    /// The last completed reconciliation with authentik; null before the first one, and if no projector answers.
    last_sweep: Option<LastSweep>,
    /// This process's live feed.
    feed: Progress,
    /// This process's replica of `users`.
    users: Progress,
    /// This process's replica of `groups`.
    groups: Progress,
    /// This process's replica of `activity`.
    activity: Progress,
}

/// The state of a stream.
#[derive(Clone, Copy, Serialize, JsonSchema)]
struct StreamStatus {
    first_sequence: u64,
    last_sequence: u64,
    messages: u64,
    bytes: u64,
}

/// The position of a reader of the stream of events.
#[derive(Serialize, JsonSchema)]
struct Progress {
    /// Sequence of the last message that was read.
    sequence: u64,
    /// Number of sequences that the stream is ahead; null if its state cannot be read.
    lag: Option<u64>,
}

#[derive(Clone)]
pub struct Routes;

#[OpenApi]
impl Routes {
    /// Returns the state of the system: projectors, backlog, streams, projections and lag.
    #[oai(path = "/status", method = "get", tag = "Tag::Operations")]
    async fn status(&self, caller: Caller) -> RouteResult<Json<Status>, ADMIN> {
        caller.require_admin()?;
        let live = &caller.live;
        let nats = live.nats();
        let (events, inbox, dead_letters, reported, projectors) = futures_util::join!(
            stream_status(nats, nats.namespace.events_stream()),
            stream_status(nats, nats.namespace.inbox_stream()),
            stream_status(nats, nats.namespace.dead_letters_stream()),
            projectors::status(nats),
            projectors::health(nats),
        );
        let progress = |sequence: u64| {
            let lag = events.map(|events| events.last_sequence.saturating_sub(sequence));
            Progress { sequence, lag }
        };
        Ok(Json(Status {
            connected: nats.is_connected(),
            epoch: live.log().epoch().to_owned(),
            events,
            inbox,
            dead_letters,
            projectors,
            backlog: reported.as_ref().map(|reported| reported.inbox),
            last_sweep: reported.as_ref().and_then(|reported| reported.last_sweep),
            projections: reported.map(|reported| reported.projections).unwrap_or_default(),
            feed: progress(live.head()),
            users: progress(live.replica::<Users>().sequence()),
            groups: progress(live.replica::<Groups>().sequence()),
            activity: progress(live.replica::<Activity>().sequence()),
        }))
    }
}

/// Returns `None` on an error, so that the rest of the status is still answered.
async fn stream_status(nats: &Nats, name: String) -> Option<StreamStatus> {
    let stream = nats.jetstream.get_stream(name).await.ok()?;
    let state = &stream.cached_info().state;
    Some(StreamStatus {
        first_sequence: state.first_sequence,
        last_sequence: state.last_sequence,
        messages: state.messages,
        bytes: state.bytes,
    })
}
