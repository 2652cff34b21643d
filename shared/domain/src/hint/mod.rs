//! A hint says that something *may* have happened. What it says is never taken for the state.

mod wire;

use serde::Serialize;
use uuid::Uuid;

pub use wire::{Undecodable, delivery_id_in, read};

use crate::event::Channel;
use crate::event::payload::{Actor, ObjectRef, Trigger};
use crate::key::{DeliveryId, Entity, GroupId, UserPk};
use crate::timestamp::Timestamp;

/// Something may have happened to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Whom to look at.
    pub about: About,
    /// Display name of a user whose making this reports: enough to record one whom authentik deleted since.
    pub created: Option<String>,
    /// What happened besides, which no state shows.
    pub fact: Option<Fact>,
    /// Where the hint comes from.
    pub cause: Cause,
}

/// Whom a hint is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// A user or a group by key.
    Entity(Entity),
    /// A user of whom only the uuid is known, such as from a token.
    UserWithUuid(Uuid),
    /// A user of whom only the username is known, such as from a token with a hashed id.
    UserNamed(String),
}

/// Where a hint comes from, for the envelopes of the events that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The delivery.
    pub delivery: DeliveryId,
    /// How it came.
    pub channel: Channel,
    /// When it happened, where that is known.
    pub occurred: Option<Timestamp>,
    /// authentik's request id.
    pub correlation: Option<String>,
    /// What was done, and by whom.
    pub trigger: Trigger,
}

/// What happens without changing the state that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The password was set.
    PasswordChanged,
    /// The user signed in.
    LoggedIn {
        /// Where from.
        client_ip: Option<String>,
        /// How.
        auth_method: Option<String>,
    },
    /// Somebody failed to sign in as the user.
    LoginFailed {
        /// Where from.
        client_ip: Option<String>,
    },
    /// The user signed out.
    LoggedOut {
        /// Where from.
        client_ip: Option<String>,
    },
    /// The user signed in to an application.
    AuthorizedApplication {
        /// Where from.
        client_ip: Option<String>,
        /// Which.
        application: Option<ObjectRef>,
        /// With which scopes, sorted.
        scopes: Vec<String>,
    },
    /// The user linked a source.
    LinkedSource {
        /// Where from.
        client_ip: Option<String>,
        /// Which.
        source: Option<ObjectRef>,
    },
    /// authentik found a request suspicious.
    SuspiciousRequest {
        /// Where from.
        client_ip: Option<String>,
    },
    /// The user began to act as somebody else.
    ImpersonationStarted {
        /// As whom.
        target: Option<Actor>,
    },
    /// The user ceased to act as somebody else.
    ImpersonationEnded {
        /// As whom.
        target: Option<Actor>,
    },
}

/// What a delivery means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Look at somebody.
    Look(Box<Hint>),
    /// There is nothing to record, for this reason.
    Nothing(Reason),
}

/// Why a delivery asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No body that we know: authentik's default body, or somebody else's.
    UnknownBody,
    /// An action that is not recorded, such as a test of the transport.
    UnknownAction,
    /// A change of something that is neither a user nor a group.
    OtherModel,
    /// A fact about nobody: a failed sign-in with an unknown name, an anonymous actor.
    NoUser,
    /// What stood there mentioned a user who was erased.
    Erased,
}

impl Reason {
    /// Its name as a label of a metric.
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

/// Body of what takes the place of a delivery that mentioned an erased user. It keeps the delivery id occupied: the
/// same delivery cannot come in once more.
pub const ERASED_BODY: &str = r#"{"schema":"erased.v1"}"#;

/// A hint that we give ourselves: its body in the inbox (`hint.v1`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "schema", rename = "hint.v1")]
pub struct OwnHint {
    /// The user to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserPk>,
    /// The user to look at, where only the uuid is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_uuid: Option<Uuid>,
    /// The user to look at, where only the username is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The group to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Why: `resync`, `first-request`, `membership`.
    pub reason: String,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<UserPk>,
    /// When what it stems from happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred: Option<Timestamp>,
    /// authentik's request id of what it stems from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
}

impl OwnHint {
    /// A hint about a user, asked for by somebody.
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

    /// A hint about a user of whom only the uuid is known.
    pub fn about_uuid(uuid: Uuid, reason: &str) -> Self {
        Self { user: None, user_uuid: Some(uuid), ..Self::about_user(0, reason, None) }
    }

    /// A hint about a user of whom only the username is known.
    pub fn about_username(username: &str, reason: &str) -> Self {
        Self { user: None, username: Some(username.to_owned()), ..Self::about_user(0, reason, None) }
    }

    /// A hint about a member, that a group's hint led to.
    pub fn about_member(user: UserPk, cause: &Cause) -> Self {
        Self {
            occurred: cause.occurred,
            correlation: cause.correlation.clone(),
            ..Self::about_user(user, "membership", cause.trigger.actor.map(|actor| actor.pk))
        }
    }
}
