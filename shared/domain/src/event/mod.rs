//! What is recorded: CloudEvents 1.0, one line of JSON each (<https://github.com/cloudevents/spec>).

mod catalogue;
pub mod payload;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use catalogue::{EventBody, EventType, UnknownEventType};

use crate::key::{DeliveryId, Entity, InvalidName};
use crate::snapshot::{Group, User};
use crate::timestamp::Timestamp;

/// `Content-Type` of an event as a message.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// How we came to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// authentik told us.
    Webhook,
    /// We read authentik's event log.
    EventLog,
    /// We compared all users and groups.
    Sweep,
    /// Somebody asked for it.
    Api,
}

impl Channel {
    /// Its name on the wire and in message headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::EventLog => "event-log",
            Self::Sweep => "sweep",
            Self::Api => "api",
        }
    }

    /// The channel of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Webhook, Self::EventLog, Self::Sweep, Self::Api]
            .into_iter()
            .find(|channel| channel.as_str() == name)
    }
}

/// One recorded event: the envelope and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique: one append wins a position of an entity, and the index counts within it (`user-42-1041.0`).
    pub id: String,
    /// The authentik that it happened in, as a URL.
    pub source: String,
    /// Whom it is about.
    pub subject: Entity,
    /// When it happened in authentik, or when it was found, if `approximate`.
    pub time: Timestamp,
    /// True where `time` is the time of detection.
    pub approximate: bool,
    /// Where the JSON Schema of `data` is.
    pub dataschema: String,
    /// The delivery that made us look.
    pub causationid: DeliveryId,
    /// authentik's request id, the same for everything that one request did.
    pub correlationid: Option<String>,
    /// How we came to look.
    pub channel: Channel,
    /// Type and data.
    pub body: EventBody,
}

/// An event as it stands in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its sequence in the stream: the order of all events.
    pub sequence: u64,
    /// When the stream stored it.
    pub stored: Timestamp,
    /// The event.
    pub event: Event,
}

/// Why a message is not an event that this version can read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not the JSON of a CloudEvent, or of another shape than its type has.
    #[error("not a CloudEvent of ours")]
    Json(#[from] serde_json::Error),
    /// Written by a newer version of this software.
    #[error("unknown type")]
    Type(#[from] UnknownEventType),
    /// The `subject` names neither a user nor a group.
    #[error("unknown subject")]
    Subject(#[from] InvalidName),
    /// The version in `dataschema` is not one that this version can read.
    #[error("data schema {0:?} is of an unknown version; run at least the version that wrote it")]
    Version(String),
}

#[derive(Serialize)]
struct WireOut<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: EventType,
    subject: String,
    time: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    approximate: bool,
    dataschema: &'a str,
    datacontenttype: &'static str,
    causationid: &'a DeliveryId,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<&'a str>,
    channel: Channel,
    data: &'a EventBody,
}

#[derive(Deserialize)]
struct WireIn<'a> {
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: &'a str,
    time: Timestamp,
    #[serde(default)]
    approximate: bool,
    dataschema: String,
    causationid: DeliveryId,
    #[serde(default)]
    correlationid: Option<String>,
    channel: Channel,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Event {
    /// The line of JSON that is stored and sent.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&WireOut {
            specversion: "1.0",
            id: &self.id,
            source: &self.source,
            event_type: self.body.event_type(),
            subject: self.subject.to_string(),
            time: self.time,
            approximate: self.approximate,
            dataschema: &self.dataschema,
            datacontenttype: "application/json",
            causationid: &self.causationid,
            correlationid: self.correlationid.as_deref(),
            channel: self.channel,
            data: &self.body,
        })
    }

    /// Reads a stored line of JSON; events of older schema versions are brought up to date.
    pub fn from_json(line: &[u8]) -> Result<Self, Unreadable> {
        let wire: WireIn<'_> = serde_json::from_slice(line)?;
        let event_type: EventType = wire.event_type.parse()?;
        if !wire.dataschema.ends_with("/v1") {
            return Err(Unreadable::Version(wire.dataschema));
        }
        Ok(Self {
            id: wire.id,
            source: wire.source,
            subject: wire.subject.parse()?,
            time: wire.time,
            approximate: wire.approximate,
            dataschema: wire.dataschema,
            causationid: wire.causationid,
            correlationid: wire.correlationid,
            channel: wire.channel,
            body: EventBody::from_data(event_type, wire.data.get())?,
        })
    }
}

/// URL of the JSON Schema of an event type's `data`, under the given base.
pub fn schema_url(base: &str, event_type: EventType) -> String {
    format!("{}/api/schemas/{event_type}/v1", base.trim_end_matches('/'))
}

/// What an event says of its subject's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateAfter<'a> {
    /// The user is so.
    User(&'a User),
    /// The user is gone; so they were last.
    UserGone(&'a User),
    /// The user is gone, and so is what was known of them.
    UserErased,
    /// The group is so.
    Group(&'a Group),
    /// The group is gone; so it was last.
    GroupGone(&'a Group),
}

impl EventBody {
    /// The recorded state after this event: the newest event of an entity *is* its current state.
    pub fn after(&self) -> StateAfter<'_> {
        match self {
            Self::UserRegistered(data) => StateAfter::User(&data.user),
            Self::UserUpdated(data) => StateAfter::User(&data.user),
            Self::UserDeactivated(data) => StateAfter::User(&data.user),
            Self::UserReactivated(data) => StateAfter::User(&data.user),
            Self::UserDeleted(data) => StateAfter::UserGone(&data.user),
            Self::UserErased(_) => StateAfter::UserErased,
            Self::UserJoinedGroup(data) => StateAfter::User(&data.user),
            Self::UserLeftGroup(data) => StateAfter::User(&data.user),
            Self::UserPasswordChanged(data) => StateAfter::User(&data.user),
            Self::UserLoggedIn(data) => StateAfter::User(&data.user),
            Self::UserLoginFailed(data) => StateAfter::User(&data.user),
            Self::UserLoggedOut(data) => StateAfter::User(&data.user),
            Self::UserAuthorizedApplication(data) => StateAfter::User(&data.user),
            Self::UserLinkedSource(data) => StateAfter::User(&data.user),
            Self::UserSuspiciousRequest(data) => StateAfter::User(&data.user),
            Self::UserImpersonationStarted(data) => StateAfter::User(&data.user),
            Self::UserImpersonationEnded(data) => StateAfter::User(&data.user),
            Self::GroupCreated(data) => StateAfter::Group(&data.group),
            Self::GroupUpdated(data) => StateAfter::Group(&data.group),
            Self::GroupDeleted(data) => StateAfter::GroupGone(&data.group),
        }
    }
}
