//! The `data` of each event type.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::key::{GroupId, UserPk};
use crate::snapshot::{Group, User};

/// What led to the comparison with authentik. It is not always what caused the change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trigger {
    /// authentik's action (`model_updated`, `login`, …), or `resync`, `membership` or `sweep`.
    pub action: String,
    /// The user who acted; missing if authentik or this system acted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
}

/// Another user, by primary key only: an event has personal data of its own user alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// authentik's primary key of the user.
    pub pk: UserPk,
}

/// Value of one field before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Value recorded before.
    pub from: Value,
    /// Value that authentik reports now.
    pub to: Value,
}

/// Changed fields by name.
pub type Changes = BTreeMap<String, Change>;

/// Reference to a group in an event about one of its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupRef {
    /// authentik's primary key of the group.
    pub uuid: GroupId,
    /// Name of the group; empty if it was never known.
    pub name: String,
}

/// Reference to another object in authentik: an application or a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectRef {
    /// authentik's primary key, in the format that authentik sends.
    pub pk: String,
    /// Name of the object.
    pub name: String,
}

/// What remains of an erased user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErasedUser {
    /// authentik's primary key.
    pub pk: UserPk,
}

/// Declares the data of events about a user: the state after the event, the trigger, and own fields.
macro_rules! about_a_user {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// The user after this event.
            pub user: User,
            $($(#[$field_meta])* pub $field: $kind,)*
            /// What led to the comparison with authentik.
            pub trigger: Trigger,
        }
    )*};
}

about_a_user! {
    /// A user was recorded for the first time, or again after a deletion.
    UserRegistered {
        /// True if authentik deleted the user before they were read: only `pk` and `name` are known.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    }
    /// Fields of the user changed.
    UserUpdated {
        /// The changed fields.
        changes: Changes,
    }
    /// The user may no longer sign in.
    UserDeactivated {}
    /// The user may sign in again.
    UserReactivated {}
    /// The user no longer exists in authentik. `user` is their last recorded state.
    UserDeleted {}
    /// The user became a direct member of a group.
    UserJoinedGroup {
        /// The group.
        group: GroupRef,
    }
    /// The user is no longer a direct member of a group.
    UserLeftGroup {
        /// The group.
        group: GroupRef,
    }
    /// The user's password was set, by the user or by an administrator.
    UserPasswordChanged {}
    /// The user signed in.
    UserLoggedIn {
        /// IP address of the client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
        /// authentik's `auth_method`; missing after an enrollment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        auth_method: Option<String>,
    }
    /// A sign-in with the user's name failed.
    UserLoginFailed {
        /// IP address of the client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
    }
    /// The user signed out.
    UserLoggedOut {
        /// IP address of the client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
    }
    /// The user signed in to an application.
    UserAuthorizedApplication {
        /// IP address of the client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
        /// The application, if authentik names it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        application: Option<ObjectRef>,
        /// Granted scopes, sorted.
        scopes: Vec<String>,
    }
    /// The user linked their account to a source, such as a social login.
    UserLinkedSource {
        /// IP address of the client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
        /// The source, if authentik names it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<ObjectRef>,
    }
    /// authentik reported a suspicious request of the user, such as the reuse of a refresh token.
    UserSuspiciousRequest {
        /// IP address of the client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
    }
    /// The user started to impersonate another user.
    UserImpersonationStarted {
        /// The impersonated user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<Actor>,
    }
    /// The user stopped impersonating another user.
    UserImpersonationEnded {
        /// The impersonated user; authentik does not always report it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<Actor>,
    }
}

/// All recorded data of a user was erased. This event is the receipt and has no personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserErased {
    /// The erased user.
    pub user: ErasedUser,
    /// What led to the erasure.
    pub trigger: Trigger,
}

/// A group was recorded for the first time, or again after a deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupCreated {
    /// The group after this event.
    pub group: Group,
    /// What led to the comparison with authentik.
    pub trigger: Trigger,
}

/// Fields of a group changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupUpdated {
    /// The group after this event.
    pub group: Group,
    /// The changed fields.
    pub changes: Changes,
    /// What led to the comparison with authentik.
    pub trigger: Trigger,
}

/// A group no longer exists in authentik. `group` is its last recorded state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupDeleted {
    /// The last recorded state of the group.
    pub group: Group,
    /// What led to the comparison with authentik.
    pub trigger: Trigger,
}
