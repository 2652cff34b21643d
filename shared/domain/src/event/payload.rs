//! The `data` of each event type.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::key::{GroupId, UserPk};
use crate::snapshot::{Group, User};

/// Who or what made us look. It need not be what made the difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trigger {
    /// authentik's action (`model_updated`, `login`, …), or `resync`, `membership`, `sweep`.
    pub action: String,
    /// Who did it; nobody where authentik or the bridge itself did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
}

/// A user who did something, by primary key alone: an event names nobody but its own user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// authentik's primary key of the user.
    pub pk: UserPk,
}

/// One field before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Value that was recorded.
    pub from: Value,
    /// Value that authentik gives now.
    pub to: Value,
}

/// The fields of an update, by name.
pub type Changes = BTreeMap<String, Change>;

/// A group as an event about one of its members names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupRef {
    /// authentik's primary key of the group.
    pub uuid: GroupId,
    /// Its name; empty where it was never known.
    pub name: String,
}

/// Something in authentik that an event names: an application, a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectRef {
    /// authentik's primary key, as it writes it.
    pub pk: String,
    /// Its name.
    pub name: String,
}

/// What is left of a user whose data was erased: enough to know that there was somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErasedUser {
    /// authentik's primary key.
    pub pk: UserPk,
}

/// Declares the data of an event about a user: the whole recorded state after it, who made us look,
/// and what this type alone carries.
macro_rules! about_a_user {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// The user after this event.
            pub user: User,
            $($(#[$field_meta])* pub $field: $kind,)*
            /// Who or what made us look.
            pub trigger: Trigger,
        }
    )*};
}

about_a_user! {
    /// A user became known.
    UserRegistered {
        /// True where authentik deleted the user before they could be read: key and name are all there is.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    }
    /// Fields of the user changed.
    UserUpdated {
        /// What changed.
        changes: Changes,
    }
    /// The user may no longer sign in.
    UserDeactivated {}
    /// The user may sign in again.
    UserReactivated {}
    /// The user is gone from authentik. `user` is what was last recorded of them.
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
    /// The user's password was set, by whomever.
    UserPasswordChanged {}
    /// The user signed in.
    UserLoggedIn {
        /// Where from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
        /// How: authentik's `auth_method`; missing after an enrollment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        auth_method: Option<String>,
    }
    /// Somebody failed to sign in as the user.
    UserLoginFailed {
        /// Where from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
    }
    /// The user signed out.
    UserLoggedOut {
        /// Where from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
    }
    /// The user signed in to an application.
    UserAuthorizedApplication {
        /// Where from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
        /// The application, where authentik named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        application: Option<ObjectRef>,
        /// Scopes that were granted, sorted.
        scopes: Vec<String>,
    }
    /// The user linked their account to a source, such as a social login.
    UserLinkedSource {
        /// Where from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
        /// The source, where authentik named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<ObjectRef>,
    }
    /// authentik found a request of the user suspicious, such as a refresh token used twice.
    UserSuspiciousRequest {
        /// Where from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_ip: Option<String>,
    }
    /// The user began to act as somebody else.
    UserImpersonationStarted {
        /// As whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<Actor>,
    }
    /// The user ceased to act as somebody else.
    UserImpersonationEnded {
        /// As whom; authentik does not always say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<Actor>,
    }
}

/// Everything that was recorded of a user was erased. This receipt carries no personal data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserErased {
    /// Who it was.
    pub user: ErasedUser,
    /// Who or what made us do it.
    pub trigger: Trigger,
}

/// A group became known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupCreated {
    /// The group after this event.
    pub group: Group,
    /// Who or what made us look.
    pub trigger: Trigger,
}

/// Fields of a group changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupUpdated {
    /// The group after this event.
    pub group: Group,
    /// What changed.
    pub changes: Changes,
    /// Who or what made us look.
    pub trigger: Trigger,
}

/// A group is gone from authentik. `group` is what was last recorded of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupDeleted {
    /// The group as last recorded.
    pub group: Group,
    /// Who or what made us look.
    pub trigger: Trigger,
}
