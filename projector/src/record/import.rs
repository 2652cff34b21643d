//! What a page of all users or groups gives: it is old when it is worked on, so it is recorded only where nothing is.

use domain::decide::{RecordedState, decide_group, decide_user};
use domain::event::{Event, EventBody, EventType};
use domain::hint::Hint;
use domain::key::Entity;
use domain::snapshot::{Group, User};
use futures_util::{StreamExt, stream};
use runtime::clock;
use store::publish::PublishError;

use super::{HandleError, Recorder, count};
use crate::directory::Directory;

/// How many are appended at once where one commit for all was refused.
const AT_ONCE: usize = 32;

/// A user or a group as a page gave them.
#[derive(Clone, Debug)]
pub(crate) enum PageItem {
    User(Box<User>),
    Group(Group),
}

impl PageItem {
    pub(crate) fn entity(&self) -> Entity {
        match self {
            Self::User(user) => Entity::User(user.pk),
            Self::Group(group) => Entity::Group(group.uuid),
        }
    }

    /// What is recorded first of them.
    pub(crate) fn first(&self, hint: &Hint) -> Vec<EventBody> {
        match self {
            Self::User(user) => decide_user(user.pk, &RecordedState::Nothing, Some(user), hint, None),
            Self::Group(group) => decide_group(&RecordedState::Nothing, Some(group), &hint.cause.trigger),
        }
    }
}

impl<D: Directory> Recorder<D> {
    /// Makes the log agree with authentik about a user or a group, whoever asks for it now.
    pub(crate) async fn record(&self, entity: Entity, hint: Hint) -> Result<(), HandleError> {
        match entity {
            Entity::User(pk) => self.record_user(pk, hint, clock::now()).await.map(drop),
            Entity::Group(id) => self.record_group(id, hint).await.map(drop),
        }
    }

    /// What [`Recorder::record`] would append. Nothing is written.
    pub(crate) async fn preview(&self, entity: Entity, hint: &Hint) -> Result<Vec<EventType>, HandleError> {
        let bodies = match entity {
            Entity::User(pk) => {
                let log_end = self.log_end(entity, RecordedState::from_newest_of_user).await?;
                let user = self.directory.user(pk).await?;
                decide_user(pk, &log_end.recorded, user.as_ref(), hint, None)
            }
            Entity::Group(id) => {
                let log_end = self.log_end(entity, RecordedState::from_newest_of_group).await?;
                let group = self.directory.group(id).await?.map(|group| group.group);
                decide_group(&log_end.recorded, group.as_ref(), &hint.cause.trigger)
            }
        };
        Ok(bodies.iter().map(EventBody::event_type).collect())
    }

    /// Whether the log agrees with what a page says.
    pub(crate) async fn is_recorded(&self, listed: &PageItem, hint: &Hint) -> Result<bool, HandleError> {
        let entity = listed.entity();
        let differences = match listed {
            PageItem::User(user) => {
                let log_end = self.log_end(entity, RecordedState::from_newest_of_user).await?;
                decide_user(user.pk, &log_end.recorded, Some(user), hint, None)
            }
            PageItem::Group(group) => {
                let log_end = self.log_end(entity, RecordedState::from_newest_of_group).await?;
                decide_group(&log_end.recorded, Some(group), &hint.cause.trigger)
            }
        };
        Ok(differences.is_empty())
    }

    /// Records those of whom nothing is recorded, as a page gave them, with one commit. Says of each whether it did:
    /// who was recorded meanwhile gets the rule, where the page differs.
    pub(crate) async fn import(
        &self,
        new: Vec<(PageItem, Hint)>,
    ) -> Vec<(Entity, Result<bool, HandleError>)> {
        let first = |(listed, hint): &(PageItem, Hint)| {
            self.events(listed.entity(), 0, listed.first(hint), &hint.cause)
        };
        let firsts: Vec<Event> = new.iter().flat_map(first).collect();
        if firsts.is_empty() {
            return vec![];
        }
        match self.log.append_firsts(&firsts).await {
            Ok(_) => {
                count(&firsts);
                new.into_iter().map(|(listed, _)| (listed.entity(), Ok(true))).collect()
            }
            Err(error @ PublishError::Unacknowledged(_)) => {
                let failed =
                    |(listed, _): (PageItem, Hint)| (listed.entity(), Err(unacknowledged(error.clone())));
                new.into_iter().map(failed).collect()
            }
            // One that may not be stored has all of them refused.
            Err(_) => {
                let each = new.into_iter().zip(firsts).map(|((listed, hint), first)| async move {
                    (listed.entity(), self.import_one(listed, hint, first).await)
                });
                stream::iter(each).buffer_unordered(AT_ONCE).collect().await
            }
        }
    }

    async fn import_one(&self, listed: PageItem, hint: Hint, first: Event) -> Result<bool, HandleError> {
        let entity = listed.entity();
        match self.log.append(entity, 0, std::slice::from_ref(&first)).await {
            Ok(_) => {
                count(&[first]);
                return Ok(true);
            }
            Err(error @ PublishError::Unacknowledged(_)) => return Err(unacknowledged(error)),
            Err(_) => {}
        }
        if !self.is_recorded(&listed, &hint).await? {
            self.record(entity, hint).await?;
        }
        Ok(false)
    }
}

fn unacknowledged(error: PublishError) -> HandleError {
    HandleError::Retry(anyhow::Error::new(error).context("appending events"))
}
