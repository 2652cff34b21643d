//! `users`: the current state of each user, and a tombstone for each deleted user.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Projection;
use crate::event::{EventBody, Recorded, StateAfter};
use crate::key::{Entity, UserPk};
use crate::snapshot::User;
use crate::timestamp::Timestamp;

/// The projection `users`, keyed by the user's primary key.
#[derive(Clone, Copy, Debug)]
pub struct Users;

/// Whether a user exists and may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UserStatus {
    /// The user may sign in.
    Active,
    /// The user may not sign in.
    Inactive,
    /// The user no longer exists in authentik.
    Deleted,
    /// The user no longer exists and their personal data is erased.
    Erased,
}

/// View of one user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserView {
    /// authentik's primary key.
    pub pk: UserPk,
    /// Whether the user exists and may sign in.
    pub status: UserStatus,
    /// Current state, or the last one of a deleted user; null for an erased user.
    pub user: Option<User>,
    /// Time of the latest registration, by authentik's clock.
    pub registered: Option<Timestamp>,
    /// Sequence of that registration: the history that the user may read begins there.
    pub registered_sequence: u64,
    /// Time of the last event, by authentik's clock.
    pub last_event: Timestamp,
    /// Sequence of the last event.
    pub sequence: u64,
}

impl UserView {
    /// The current state; `None` if the user is deleted or erased.
    pub fn present(&self) -> Option<&User> {
        match self.status {
            UserStatus::Active | UserStatus::Inactive => self.user.as_ref(),
            UserStatus::Deleted | UserStatus::Erased => None,
        }
    }
}

impl Projection for Users {
    type View = UserView;
    const NAME: &'static str = "users";
    const VERSION: u32 = 1;

    fn keys(event: &Recorded) -> Vec<String> {
        match event.event.subject {
            Entity::User(pk) => vec![pk.to_string()],
            Entity::Group(_) => vec![],
        }
    }

    fn fold(_: &str, view: Option<&UserView>, event: &Recorded) -> Option<UserView> {
        let Entity::User(pk) = event.event.subject else { return None };
        let (status, user) = match event.event.body.after() {
            StateAfter::User(user) if user.is_active => (UserStatus::Active, Some(user.clone())),
            StateAfter::User(user) => (UserStatus::Inactive, Some(user.clone())),
            StateAfter::UserGone(user) => (UserStatus::Deleted, Some(user.clone())),
            StateAfter::UserErased => (UserStatus::Erased, None),
            StateAfter::Group(_) | StateAfter::GroupGone(_) => return None,
        };
        let registers = matches!(event.event.body, EventBody::UserRegistered(_));
        let (registered, registered_sequence) = match view {
            Some(view) if !registers && status != UserStatus::Erased => {
                (view.registered, view.registered_sequence)
            }
            _ => (registers.then_some(event.event.time), event.sequence),
        };
        let last_event = event.event.time;
        let sequence = event.sequence;
        Some(UserView { pk, status, user, registered, registered_sequence, last_event, sequence })
    }

    fn sequence(view: &UserView) -> u64 {
        view.sequence
    }
}
