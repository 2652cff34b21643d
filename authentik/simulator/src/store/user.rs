//! People and service accounts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::json::{Json, object};

/// authentik's `User`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// The key in URLs and events. Keys increase and are never reused.
    pub pk: i64,
    /// The `sub` of the user's tokens.
    pub uuid: Uuid,
    /// The unique login name.
    pub username: String,
    /// The display name, which events contain.
    pub name: String,
    /// The e-mail address; may be empty.
    pub email: String,
    /// Whether the user can log in.
    pub is_active: bool,
    /// The type.
    #[serde(rename = "type")]
    pub kind: UserType,
    /// The folder that contains the user in authentik's interface.
    pub path: String,
    /// Custom attributes; a JSON object.
    pub attributes: Json,
    /// The direct groups.
    pub groups: BTreeSet<Uuid>,
    /// The directly assigned roles.
    pub roles: Vec<Role>,
    /// The password in clear text; without one the user cannot log in.
    pub password: Option<String>,
    /// When the user was created.
    pub date_joined: Timestamp,
    /// When the user last logged in.
    pub last_login: Option<Timestamp>,
    /// When the password was last set.
    pub password_change_date: Timestamp,
    /// When the user was last saved. A login or a change of a group's members does not save the user.
    pub last_updated: Timestamp,
}

impl User {
    /// The user as the actor of an event.
    pub fn as_actor(&self) -> Json {
        object([
            ("pk", self.pk.into()),
            ("email", self.email.as_str().into()),
            ("username", self.username.as_str().into()),
        ])
    }

    /// The user as the `context.model` of an event.
    pub fn as_model(&self) -> Json {
        object([
            ("pk", self.pk.into()),
            ("app", "authentik_core".into()),
            ("name", self.name.as_str().into()),
            ("model_name", "user".into()),
        ])
    }
}

/// authentik's `UserTypes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserType {
    /// Employees; the default of the REST API.
    #[default]
    Internal,
    /// Customers, and people who signed up.
    External,
    /// Service accounts that administrators create.
    ServiceAccount,
    /// Service accounts that authentik creates.
    InternalServiceAccount,
    /// Accounts that act on behalf of a user. authentik before 2026.8 does not have them.
    Agent,
}

impl UserType {
    /// The type with this name in JSON.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Internal, Self::External, Self::ServiceAccount, Self::InternalServiceAccount, Self::Agent]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
            Self::ServiceAccount => "service_account",
            Self::InternalServiceAccount => "internal_service_account",
            Self::Agent => "agent",
        }
    }
}

/// A role. Its permissions are not simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    pub pk: Uuid,
    pub name: String,
}
