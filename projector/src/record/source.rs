//! Where the rule reads the state of a user or a group: in its newest event, and in authentik.

use std::collections::BTreeSet;

use domain::decide::RecordedState;
use domain::event::EventBody;
use domain::hint::Hint;
use domain::key::{Entity, GroupId, UserPk};
use domain::rule::{AboutGroup, AboutUser, Subject};
use domain::snapshot::{Group, User};

use crate::directory::{Directory, DirectoryError};

pub(super) type StateOf<S> = <<S as Source>::About as Subject>::State;

/// A user or a group that the rule is applied to.
pub(super) trait Source {
    type About: Subject;

    fn entity(&self) -> Entity;

    fn about(&self, hint: Hint) -> Self::About;

    /// The recorded state: the one in the newest event.
    fn recorded_state(newest: &EventBody) -> RecordedState<StateOf<Self>>;

    /// The state in authentik; `None` if it was deleted there.
    async fn read(&mut self, directory: &impl Directory) -> Result<Option<StateOf<Self>>, DirectoryError>;
}

pub(super) struct UserSource(pub(super) UserPk);

impl Source for UserSource {
    type About = AboutUser;

    fn entity(&self) -> Entity {
        Entity::User(self.0)
    }

    fn about(&self, hint: Hint) -> AboutUser {
        AboutUser { pk: self.0, hint }
    }

    fn recorded_state(newest: &EventBody) -> RecordedState<User> {
        RecordedState::from_newest_of_user(newest)
    }

    async fn read(&mut self, directory: &impl Directory) -> Result<Option<User>, DirectoryError> {
        directory.user(self.0).await
    }
}

pub(super) struct GroupSource {
    id: GroupId,
    /// The direct members in authentik's last answer.
    pub(super) members: BTreeSet<UserPk>,
}

impl GroupSource {
    pub(super) fn new(id: GroupId) -> Self {
        Self { id, members: BTreeSet::new() }
    }
}

impl Source for GroupSource {
    type About = AboutGroup;

    fn entity(&self) -> Entity {
        Entity::Group(self.id)
    }

    fn about(&self, hint: Hint) -> AboutGroup {
        AboutGroup { hint }
    }

    fn recorded_state(newest: &EventBody) -> RecordedState<Group> {
        RecordedState::from_newest_of_group(newest)
    }

    async fn read(&mut self, directory: &impl Directory) -> Result<Option<Group>, DirectoryError> {
        let answer = directory.group(self.id).await?;
        let (group, members) = answer.map(|answer| (answer.group, answer.members)).unzip();
        self.members = members.unwrap_or_default();
        Ok(group)
    }
}
