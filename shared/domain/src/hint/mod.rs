//! Hints: reasons to compare a user or group with authentik. The state is always read from authentik itself.

mod wire;

use serde::Serialize;
use uuid::Uuid;

pub use wire::{Undecodable, delivery_id_in, read};

use crate::event::Channel;
use crate::event::payload::{Actor, ObjectRef, Trigger};
use crate::key::{DeliveryId, Entity, GroupId, UserPk};
use crate::timestamp::Timestamp;

/// A user or group *may* have changed: compare it with authentik.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The user or group to compare.
    pub target: HintTarget,
    /// Display name of a created user: enough to record a user whom authentik has deleted since.
    pub created: Option<String>,
    /// What happened, if the state does not show it: a sign-in, a password change.
    pub fact: Option<Fact>,
    /// Origin of the hint.
    pub cause: Cause,
}

/// The user or group that a hint is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HintTarget {
    /// A user or group by primary key.
    Entity(Entity),
    /// A user by uuid, such as the `sub` of a token.
    UserWithUuid(Uuid),
    /// A user by username, such as from a token whose `sub` is hashed.
    UserNamed(String),
}

/// Origin of a hint, copied into the envelopes of the events that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The delivery.
    pub delivery: DeliveryId,
    /// How the delivery was obtained.
    pub channel: Channel,
    /// When it happened in authentik, if known.
    pub occurred: Option<Timestamp>,
    /// authentik's request id.
    pub correlation: Option<String>,
    /// The action and the user who acted.
    pub trigger: Trigger,
}

/// Something that happened without changing the compared state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The password was set.
    PasswordChanged,
    /// The user signed in.
    LoggedIn {
        /// IP address of the client.
        client_ip: Option<String>,
        /// authentik's `auth_method`.
        auth_method: Option<String>,
    },
    /// A sign-in with the user's name failed.
    LoginFailed {
        /// IP address of the client.
        client_ip: Option<String>,
    },
    /// The user signed out.
    LoggedOut {
        /// IP address of the client.
        client_ip: Option<String>,
    },
    /// The user signed in to an application.
    AuthorizedApplication {
        /// IP address of the client.
        client_ip: Option<String>,
        /// The application, if authentik names it.
        application: Option<ObjectRef>,
        /// Granted scopes, sorted.
        scopes: Vec<String>,
    },
    /// The user linked their account to a source.
    LinkedSource {
        /// IP address of the client.
        client_ip: Option<String>,
        /// The source, if authentik names it.
        source: Option<ObjectRef>,
    },
    /// authentik reported a suspicious request.
    SuspiciousRequest {
        /// IP address of the client.
        client_ip: Option<String>,
    },
    /// The user started to impersonate another user.
    ImpersonationStarted {
        /// The impersonated user, if authentik reports it.
        target: Option<Actor>,
    },
    /// The user stopped impersonating another user.
    ImpersonationEnded {
        /// The impersonated user, if authentik reports it.
        target: Option<Actor>,
    },
}

/// Result of parsing a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Compare a user or group with authentik.
    Hint(Box<Hint>),
    /// Nothing needs to be compared, for this reason.
    Ignored(IgnoreReason),
}

/// Why a delivery is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IgnoreReason {
    /// The body has no known schema: authentik's default body, or a sender other than authentik.
    UnknownBody,
    /// The action is not recorded, such as a test of the notification transport.
    UnknownAction,
    /// The changed object is neither a user nor a group.
    OtherModel,
    /// The action has no known user: a sign-in with an unknown name, an anonymous actor.
    NoUser,
    /// The original delivery mentioned an erased user and was replaced by [`ERASED_BODY`].
    Erased,
}

impl IgnoreReason {
    /// Value of the metrics label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownBody => "unknown-body",
            Self::UnknownAction => "unknown-action",
            Self::OtherModel => "other-model",
            Self::NoUser => "no-user",
            Self::Erased => "erased",
        }
    }
}

/// Body that replaces a delivery that mentioned an erased user. It keeps the delivery id occupied, so that a
/// retry of the same delivery is refused as a duplicate.
pub const ERASED_BODY: &str = r#"{"schema":"erased.v1"}"#;

/// A hint that this system puts into its own inbox: its body (`hint.v1`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "schema", rename = "hint.v1")]
pub struct InternalHint {
    /// The user to compare, by primary key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserPk>,
    /// The user to compare, by uuid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_uuid: Option<Uuid>,
    /// The user to compare, by username.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The group to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Reason for the hint: `resync`, `first-request`, `membership`.
    pub reason: String,
    /// The user who requested it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<UserPk>,
    /// When the change that led to this hint happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred: Option<Timestamp>,
    /// authentik's request id of the change that led to this hint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
}

impl InternalHint {
    /// A hint about a user. `asked_by` is the user who requested it.
    pub fn about_user(user: UserPk, reason: &str, asked_by: Option<UserPk>) -> Self {
        Self {
            user: Some(user),
            user_uuid: None,
            username: None,
            group: None,
            reason: reason.to_owned(),
            asked_by,
            occurred: None,
            correlation: None,
        }
    }

    /// A hint about a user, by uuid.
    pub fn about_uuid(uuid: Uuid, reason: &str) -> Self {
        Self { user: None, user_uuid: Some(uuid), ..Self::about_user(0, reason, None) }
    }

    /// A hint about a user, by username.
    pub fn about_username(username: &str, reason: &str) -> Self {
        Self { user: None, username: Some(username.to_owned()), ..Self::about_user(0, reason, None) }
    }

    /// A hint about a member of a group. `cause` is that of the group's hint.
    pub fn about_member(user: UserPk, cause: &Cause) -> Self {
        Self {
            occurred: cause.occurred,
            correlation: cause.correlation.clone(),
            ..Self::about_user(user, "membership", cause.trigger.actor.map(|actor| actor.pk))
        }
    }
}
