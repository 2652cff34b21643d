//! Names in NATS that all services share: namespace, streams, buckets, subjects, delivery ids.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::EventType;

/// authentik's primary key of a user: an integer, reused only after a restore from a backup.
pub type UserPk = i64;

/// authentik's primary key of a group.
pub type GroupId = Uuid;

/// Prefix of every stream, subject and bucket, so that several installations can share one NATS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace(String);

/// A name that breaks the rules of its kind.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a valid {what}: expected {expected}")]
pub struct InvalidName {
    given: String,
    what: &'static str,
    expected: &'static str,
}

impl Namespace {
    /// Stream of the inbox: deliveries as they were received.
    pub fn inbox_stream(&self) -> String {
        self.stream("INBOX")
    }

    /// Stream of the events.
    pub fn events_stream(&self) -> String {
        self.stream("EVENTS")
    }

    /// Stream of the dead letters.
    pub fn dead_letters_stream(&self) -> String {
        self.stream("DEAD_LETTERS")
    }

    fn stream(&self, name: &str) -> String {
        format!("{}_{name}", self.0.to_uppercase())
    }

    /// Key-value bucket of pointers, cursors and leases.
    pub fn meta_bucket(&self) -> String {
        format!("{}_meta", self.0)
    }

    /// Key-value bucket of one generation of a projection.
    pub fn projection_bucket(&self, projection: &str, generation: u64) -> String {
        format!("{}_{projection}_{generation}", self.0)
    }

    /// Subject of a delivery in the inbox.
    pub fn inbox_subject(&self, delivery: &DeliveryId) -> String {
        format!("{}.inbox.{delivery}", self.0)
    }

    /// Subject of a delivery among the dead letters.
    pub fn dead_letter_subject(&self, delivery: &DeliveryId) -> String {
        format!("{}.dead-letters.{delivery}", self.0)
    }

    /// Subject of a command; the name `*` matches every command.
    pub fn command_subject(&self, name: &str) -> String {
        format!("{}.command.{name}", self.0)
    }

    /// Delivery id in the subject of a delivery in the inbox or among the dead letters.
    pub fn delivery_of(&self, subject: &str) -> Option<DeliveryId> {
        let rest = subject.strip_prefix(self.0.as_str())?;
        rest.strip_prefix(".inbox.").or_else(|| rest.strip_prefix(".dead-letters."))?.parse().ok()
    }

    /// Subject of one event.
    pub fn event_subject(&self, entity: Entity, event_type: EventType) -> String {
        format!("{}.events.{}.{event_type}", self.0, entity.token())
    }

    /// Wildcard subject of all events of one user or group. Appends expect a position of this subject.
    pub fn entity_filter(&self, entity: Entity) -> String {
        format!("{}.events.{}.*", self.0, entity.token())
    }

    /// Wildcard subject of all events, optionally of one user or group, and of one type.
    pub fn events_filter(&self, entity: Option<Entity>, event_type: Option<EventType>) -> String {
        let entity = entity.map_or_else(|| "*.*".to_owned(), Entity::token);
        let event_type = event_type.map_or("*", EventType::as_str);
        format!("{}.events.{entity}.{event_type}", self.0)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("authentik".to_owned())
    }
}

impl FromStr for Namespace {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let starts_with_letter = text.starts_with(|c: char| c.is_ascii_lowercase());
        let rest_is_plain = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if starts_with_letter && rest_is_plain && text.len() <= 64 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                given: text.to_owned(),
                what: "namespace",
                expected: "a lower-case letter, then lower-case letters, digits and '-', at most 64 characters",
            })
        }
    }
}

/// The user or group that an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// A user.
    User(UserPk),
    /// A group.
    Group(GroupId),
}

impl Entity {
    fn token(self) -> String {
        match self {
            Self::User(pk) => format!("user.{pk}"),
            Self::Group(id) => format!("group.{id}"),
        }
    }

    /// First part of the ids of its events, such as `user-42`.
    pub fn id_prefix(self) -> String {
        match self {
            Self::User(pk) => format!("user-{pk}"),
            Self::Group(id) => format!("group-{id}"),
        }
    }
}

/// The `subject` attribute of its events, such as `user/42`.
impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(pk) => write!(f, "user/{pk}"),
            Self::Group(id) => write!(f, "group/{id}"),
        }
    }
}

impl FromStr for Entity {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parsed = match text.split_once('/') {
            Some(("user", pk)) => pk.parse().ok().map(Self::User),
            Some(("group", id)) => id.parse().ok().map(Self::Group),
            _ => None,
        };
        parsed.ok_or_else(|| InvalidName {
            given: text.to_owned(),
            what: "event subject",
            expected: "user/<pk> or group/<uuid>",
        })
    }
}

/// Permanent id of a delivery: authentik's event uuid, optionally followed by `.<suffix>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct DeliveryId(String);

impl DeliveryId {
    /// Delivery id of the hint about a member that this delivery's group hint leads to.
    #[must_use]
    pub fn member(&self, pk: UserPk) -> Self {
        Self(format!("{}.{pk}", self.0))
    }

    /// Delivery id of the n-th replay of this dead letter.
    #[must_use]
    pub fn replay(&self, n: u64) -> Self {
        Self(format!("{}.replay-{n}", self.0))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Uuid> for DeliveryId {
    fn from(id: Uuid) -> Self {
        Self(id.to_string())
    }
}

impl From<DeliveryId> for String {
    fn from(id: DeliveryId) -> Self {
        id.0
    }
}

impl TryFrom<String> for DeliveryId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl FromStr for DeliveryId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_plain = |token: &str| {
            !token.is_empty() && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        if text.len() <= 128 && text.split('.').all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                given: text.to_owned(),
                what: "delivery id",
                expected: "tokens of letters, digits, '-' and '_' joined by '.', at most 128 characters",
            })
        }
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_contain_the_namespace() {
        let namespace: Namespace = "blue-2".parse().unwrap();
        assert_eq!(namespace.events_stream(), "BLUE-2_EVENTS");
        assert_eq!(namespace.projection_bucket("users", 3), "blue-2_users_3");
        assert_eq!(
            namespace.event_subject(Entity::User(42), EventType::UserRegistered),
            "blue-2.events.user.42.user-registered"
        );
        assert_eq!(
            namespace.events_filter(None, Some(EventType::GroupCreated)),
            "blue-2.events.*.*.group-created"
        );
    }

    #[test]
    fn a_namespace_that_is_invalid_in_a_subject_is_refused() {
        for bad in ["", "A", "a.b", "a*", "1a", "a b", "a>"] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_delivery_id_parses_back_from_its_subject() {
        let namespace = Namespace::default();
        let delivery: DeliveryId = "f9fc2ade-fae3-4865-a48c-7fb4d921559e".parse().unwrap();
        let member = delivery.member(42);
        assert_eq!(namespace.delivery_of(&namespace.inbox_subject(&member)), Some(member));
    }

    #[test]
    fn a_delivery_id_that_is_invalid_in_a_subject_is_refused() {
        for bad in ["", "a..b", "*", "a b", ">", "a.", "ä"] {
            assert!(bad.parse::<DeliveryId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_subject_parses_back() {
        for entity in [Entity::User(42), Entity::Group(Uuid::from_u128(7))] {
            assert_eq!(entity.to_string().parse(), Ok(entity));
        }
        assert!("user/x".parse::<Entity>().is_err());
    }
}
