//! The list of all event types. Matches are exhaustive, so the compiler lists what a new type needs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::payload::{
    GroupCreated, GroupDeleted, GroupUpdated, UserAuthorizedApplication, UserDeactivated, UserDeleted,
    UserErased, UserImpersonationEnded, UserImpersonationStarted, UserJoinedGroup, UserLeftGroup,
    UserLinkedSource, UserLoggedIn, UserLoggedOut, UserLoginFailed, UserPasswordChanged, UserReactivated,
    UserRegistered, UserSuspiciousRequest, UserUpdated,
};

/// A text that is not the name of an event type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a known event type; `domain::event::EventType` lists them")]
pub struct UnknownEventType(String);

macro_rules! catalogue {
    ($($wire:literal => $name:ident,)*) => {
        /// The type of an event: past tense, written in kebab-case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType {
            $(#[doc = concat!("`", $wire, "`")] $name,)*
        }

        impl EventType {
            /// All types.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)* }
            }

            /// JSON Schema of the `data` of events of this type.
            pub fn schema(self) -> Schema {
                match self { $(Self::$name => schema_for!($name),)* }
            }
        }

        /// The `data` of an event, one variant for each type.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum EventBody {
            $(#[doc = concat!("`", $wire, "`")] $name($name),)*
        }

        impl EventBody {
            /// The type of event that has this data.
            pub fn event_type(&self) -> EventType {
                match self { $(Self::$name(_) => EventType::$name,)* }
            }

            /// Reads the `data` of an event of the given type.
            pub fn from_data(event_type: EventType, data: &str) -> Result<Self, serde_json::Error> {
                match event_type { $(EventType::$name => serde_json::from_str(data).map(Self::$name),)* }
            }
        }

        /// Serializes the `data` without its type.
        impl Serialize for EventBody {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$name(data) => data.serialize(serializer),)* }
            }
        }
    };
}

catalogue! {
    "user-registered" => UserRegistered,
    "user-updated" => UserUpdated,
    "user-deactivated" => UserDeactivated,
    "user-reactivated" => UserReactivated,
    "user-deleted" => UserDeleted,
    "user-erased" => UserErased,
    "user-joined-group" => UserJoinedGroup,
    "user-left-group" => UserLeftGroup,
    "user-password-changed" => UserPasswordChanged,
    "user-logged-in" => UserLoggedIn,
    "user-login-failed" => UserLoginFailed,
    "user-logged-out" => UserLoggedOut,
    "user-authorized-application" => UserAuthorizedApplication,
    "user-linked-source" => UserLinkedSource,
    "user-suspicious-request" => UserSuspiciousRequest,
    "user-impersonation-started" => UserImpersonationStarted,
    "user-impersonation-ended" => UserImpersonationEnded,
    "group-created" => GroupCreated,
    "group-updated" => GroupUpdated,
    "group-deleted" => GroupDeleted,
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        let known = Self::ALL.iter().find(|event_type| event_type.as_str() == text);
        known.copied().ok_or_else(|| UnknownEventType(text.to_owned()))
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for EventType {
    fn schema_name() -> Cow<'static, str> {
        "EventType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "enum": Self::ALL})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_from_its_name() {
        for event_type in EventType::ALL {
            assert_eq!(event_type.as_str().parse(), Ok(*event_type));
        }
        assert!("user-eaten".parse::<EventType>().is_err());
    }
}
