//! People and service accounts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::json::{Json, object};

/// authentik's `User`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// The key in URLs and events; increasing, never given twice.
    pub pk: i64,
    /// The key that joins to a token's `sub`.
    pub uuid: Uuid,
    /// The unique login name.
    pub username: String,
    /// The display name: what events call the user.
    pub name: String,
    /// May be empty.
    pub email: String,
    /// Only active users can log in.
    pub is_active: bool,
    /// People or machines.
    #[serde(rename = "type")]
    pub kind: UserType,
    /// The folder in which authentik shows the user.
    pub path: String,
    /// Free data; an object.
    pub attributes: Json,
    /// Direct memberships.
    pub groups: BTreeSet<Uuid>,
    /// Directly assigned roles.
    pub roles: Vec<Role>,
    /// In clear: these are the made-up passwords of a development tool.
    pub password: Option<String>,
    /// When the user was made.
    pub date_joined: Timestamp,
    /// Moves on login.
    pub last_login: Option<Timestamp>,
    /// Moves when a password is set.
    pub password_change_date: Timestamp,
    /// Moves on every save: not on login, not when a group takes or drops the user.
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

    /// The user as the model that an event is about.
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
    /// Customers, and who signed up.
    External,
    /// Machines that people make.
    ServiceAccount,
    /// Machines that authentik makes.
    InternalServiceAccount,
}

impl UserType {
    /// The type of this name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Internal, Self::External, Self::ServiceAccount, Self::InternalServiceAccount]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
            Self::ServiceAccount => "service_account",
            Self::InternalServiceAccount => "internal_service_account",
        }
    }
}

/// A role, by name; what it permits is not simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// The key.
    pub pk: Uuid,
    /// The name.
    pub name: String,
}
