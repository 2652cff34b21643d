//! The users and groups in authentik, in the types of `domain`.

mod authentik;
mod breaker;
mod circuit;
mod wire;

use std::collections::BTreeSet;
use std::future::Future;

use domain::key::{GroupId, UserPk};
use domain::snapshot::{Group, User};
use domain::timestamp::Timestamp;
use uuid::Uuid;

pub use authentik::AuthentikDirectory;
pub(crate) use authentik::{client, http_problem};
pub(crate) use breaker::{Breaker, Signal};

/// The source of truth about users and groups. `None` means that authentik itself says that there is no such object.
pub trait Directory: Send + Sync + 'static {
    /// Succeeds if authentik answers and the token may read users and groups.
    fn check(&self) -> impl Future<Output = Result<(), DirectoryError>> + Send;

    /// The user with this key.
    fn user(&self, pk: UserPk) -> impl Future<Output = Result<Option<User>, DirectoryError>> + Send;

    /// The user with this uuid.
    fn user_with_uuid(&self, uuid: Uuid)
    -> impl Future<Output = Result<Option<User>, DirectoryError>> + Send;

    /// The user with this username.
    fn user_named(&self, username: &str)
    -> impl Future<Output = Result<Option<User>, DirectoryError>> + Send;

    /// A page of all users in the order of their keys, or of the users changed after `changed_since`. Pages count from 1.
    ///
    /// Users that are created or deleted between two calls shift the pages: a user can be missing or appear twice.
    fn users(
        &self,
        page: u64,
        changed_since: Option<Timestamp>,
    ) -> impl Future<Output = Result<Page<User>, DirectoryError>> + Send;

    /// A page of all groups. Pages count from 1.
    fn groups(&self, page: u64)
    -> impl Future<Output = Result<Page<GroupAndMembers>, DirectoryError>> + Send;

    /// A page of authentik's event log, oldest event first. Pages count from 1.
    fn events(&self, page: u64) -> impl Future<Output = Result<Page<LoggedEvent>, DirectoryError>> + Send;

    /// The group with this key, and its direct members.
    fn group(
        &self,
        id: GroupId,
    ) -> impl Future<Output = Result<Option<GroupAndMembers>, DirectoryError>> + Send;
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The number of the next page; `None` on the last page.
    pub next: Option<u64>,
    /// How many items all pages have together.
    pub n_all: u64,
}

/// An event of authentik's log, in the form of its webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// authentik's id of the event: the delivery id of its webhook.
    pub id: Uuid,
    /// When the event happened.
    pub created: Timestamp,
    /// The body that the webhook mapping would send (`authentik.event.v1`).
    pub body: Vec<u8>,
}

/// A group and its direct members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupAndMembers {
    /// The group.
    pub group: Group,
    /// The direct members.
    pub members: BTreeSet<UserPk>,
}

/// Why the directory gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// authentik cannot be reached or is overloaded; the same request will succeed later.
    #[error("authentik is unavailable: {0}")]
    Unavailable(String),
    /// The token is wrong or has too few rights; an operator must correct the configuration.
    #[error("authentik refuses the token: {0}; check AUTHENTIK_TOKEN and the rights of its service account")]
    Forbidden(String),
    /// The server's answer is not one of authentik's.
    #[error("the server at AUTHENTIK_URL does not answer like authentik: {0}; check AUTHENTIK_URL")]
    UnexpectedAnswer(String),
    /// The circuit breaker is open: earlier requests failed, and no probe has succeeded yet.
    #[error("no requests are sent to authentik since {since}: {reason}")]
    CircuitOpen {
        /// When the circuit breaker opened.
        since: Timestamp,
        /// The last failure.
        reason: Box<Self>,
    },
}
