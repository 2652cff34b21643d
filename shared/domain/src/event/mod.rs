//! Recorded events: CloudEvents 1.0 as JSON, one line each (<https://github.com/cloudevents/spec>).

mod catalogue;
pub mod payload;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use catalogue::{EventBody, EventType, UnknownEventType};

use crate::key::{DeliveryId, Entity, InvalidName};
use crate::snapshot::{Group, User};
use crate::timestamp::Timestamp;

/// `Content-Type` header of messages that contain one event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// How this system learned that something may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// authentik sent a webhook.
    Webhook,
    /// A projector read authentik's event log.
    EventLog,
    /// A projector compared all users and groups with authentik.
    Sweep,
    /// A user or an operator requested a comparison through the API.
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

    /// The channel with this name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Webhook, Self::EventLog, Self::Sweep, Self::Api]
            .into_iter()
            .find(|channel| channel.as_str() == name)
    }
}

/// One event: the attributes of its CloudEvents envelope and its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique id: entity, expected position of the append, index within it (`user-42-1041.0`).
    pub id: String,
    /// URL of the authentik installation.
    pub source: String,
    /// The user or group that the event is about.
    pub subject: Entity,
    /// When it happened in authentik; if `approximate`, when this system detected it.
    pub time: Timestamp,
    /// True if `time` is the time of detection.
    pub approximate: bool,
    /// URL of the JSON Schema of `data`; see [`schema_url`].
    pub dataschema: String,
    /// The delivery that led to this event.
    pub causationid: DeliveryId,
    /// authentik's request id, shared by all events that one HTTP request caused.
    pub correlationid: Option<String>,
    /// How the delivery was obtained.
    pub channel: Channel,
    /// Type and `data`.
    pub body: EventBody,
}

/// An event stored in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Sequence in the stream, which orders all events.
    pub sequence: u64,
    /// When the stream stored it.
    pub stored: Timestamp,
    /// The event.
    pub event: Event,
}

/// Why this version cannot read a message as an event.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The message is not JSON, or its fields do not match its type.
    #[error("the message is not a CloudEvent that this system wrote")]
    Json(#[from] serde_json::Error),
    /// The type is unknown: a newer version wrote it.
    #[error("the event has an unknown type")]
    Type(#[from] UnknownEventType),
    /// `subject` is neither a user nor a group.
    #[error("the subject of the event is neither a user nor a group")]
    Subject(#[from] InvalidName),
    /// `dataschema` has a version that this software does not know.
    #[error("data schema {0:?} has an unknown version; upgrade to the version that wrote it or newer")]
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
    /// The line of JSON that is stored and sent to readers.
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

    /// Reads a stored line of JSON.
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

/// URL of the JSON Schema of an event type's `data`. `base` is the public URL of the API.
pub fn schema_url(base: &str, event_type: EventType) -> String {
    format!("{}/api/schemas/{event_type}/v1", base.trim_end_matches('/'))
}

/// State of the user or group after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateAfter<'a> {
    /// The user exists, with this state.
    User(&'a User),
    /// The user is deleted; this was their last state.
    UserGone(&'a User),
    /// The user is deleted and their personal data is erased.
    UserErased,
    /// The group exists, with this state.
    Group(&'a Group),
    /// The group is deleted; this was its last state.
    GroupGone(&'a Group),
}

impl EventBody {
    /// The recorded state after this event. The newest event of an entity holds its current state.
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
