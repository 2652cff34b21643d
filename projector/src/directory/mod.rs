//! authentik's directory of users and groups, in our words.

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

/// Where the truth about users and groups is. `None` means that it is certain that there is no such one.
pub trait Directory: Send + Sync + 'static {
    /// Whether it answers, and lets us read users and groups.
    fn check(&self) -> impl Future<Output = Result<(), DirectoryError>> + Send;

    /// The user with this key.
    fn user(&self, pk: UserPk) -> impl Future<Output = Result<Option<User>, DirectoryError>> + Send;

    /// The user with this uuid.
    fn user_with_uuid(&self, uuid: Uuid)
    -> impl Future<Output = Result<Option<User>, DirectoryError>> + Send;

    /// The user who is called so.
    fn user_named(&self, username: &str)
    -> impl Future<Output = Result<Option<User>, DirectoryError>> + Send;

    /// A page of all users in the order of their keys, counted from 1; only those changed since, where that is given.
    ///
    /// Who comes or goes meanwhile shifts the pages: somebody can be missed, or come twice.
    fn users(
        &self,
        page: u64,
        changed_since: Option<Timestamp>,
    ) -> impl Future<Output = Result<Page<User>, DirectoryError>> + Send;

    /// A page of all groups, counted from 1.
    fn groups(&self, page: u64)
    -> impl Future<Output = Result<Page<GroupAndMembers>, DirectoryError>> + Send;

    /// A page of authentik's event log, oldest first, counted from 1.
    fn events(&self, page: u64) -> impl Future<Output = Result<Page<LoggedEvent>, DirectoryError>> + Send;

    /// The group with this key, and its direct members.
    fn group(
        &self,
        id: GroupId,
    ) -> impl Future<Output = Result<Option<GroupAndMembers>, DirectoryError>> + Send;
}

/// Some of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// These.
    pub items: Vec<T>,
    /// The page that comes next; nothing after the last one.
    pub next: Option<u64>,
    /// How many there are on all pages.
    pub n_all: u64,
}

/// An event of authentik's log, as its webhook would bring it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// authentik's id of the event: the delivery id of its webhook.
    pub id: Uuid,
    /// When it happened.
    pub created: Timestamp,
    /// The body of our mapping (`authentik.event.v1`).
    pub body: Vec<u8>,
}

/// A group and who is a direct member of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupAndMembers {
    /// The group.
    pub group: Group,
    /// Its direct members.
    pub members: BTreeSet<UserPk>,
}

/// Why the directory gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be reached, or is overloaded: the same question will work later.
    #[error("authentik is away: {0}")]
    Away(String),
    /// The token is wrong or has too few rights: the configuration must be mended.
    #[error("authentik refuses the token: {0}; check AUTHENTIK_TOKEN and the rights of its service account")]
    Forbidden(String),
    /// What answers does not answer as authentik does.
    #[error("what answers at AUTHENTIK_URL is not authentik as we know it: {0}")]
    NotUnderstood(String),
    /// It did not answer others, and is not asked before a probe is answered.
    #[error("not asked since {since}: {reason}")]
    NotAsked {
        /// Since when.
        since: Timestamp,
        /// What the last answer was.
        reason: Box<Self>,
    },
}
