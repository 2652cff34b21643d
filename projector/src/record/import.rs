//! Records users and groups from a page of authentik's API.
//!
//! A page is out of date by the time it is processed, so it is recorded only for entities without any event.

use domain::decide::{RecordedState, decide_group, decide_user};
use domain::event::{Event, EventBody, EventType};
use domain::hint::Hint;
use domain::key::Entity;
use domain::rule::{AboutGroup, AboutUser};
use domain::snapshot::{Group, User};
use futures_util::{StreamExt, stream};
use runtime::clock;
use store::publish::PublishError;

use super::{HandleError, Recorder, Source, count};
use crate::directory::Directory;

/// How many appends run concurrently after the single commit for a whole page was refused.
const AT_ONCE: usize = 32;

/// A user or a group as listed on a page.
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

    /// The events to append if nothing is recorded yet.
    pub(crate) fn first_events(&self, hint: &Hint) -> Vec<EventBody> {
        match self {
            Self::User(user) => decide_user(user.pk, &RecordedState::Nothing, Some(user), hint, None),
            Self::Group(group) => decide_group(&RecordedState::Nothing, Some(group), &hint.cause.trigger),
        }
    }
}

impl<D: Directory> Recorder<D> {
    /// The types of the events that [`Recorder::record`] would append. Writes nothing.
    pub(crate) async fn preview(&self, entity: Entity, hint: Hint) -> Result<Vec<EventType>, HandleError> {
        let bodies = match entity {
            Entity::User(pk) => self.differences(entity, AboutUser { pk, hint }, None).await?,
            Entity::Group(id) => self.differences(entity, AboutGroup { id, hint }, None).await?,
        };
        Ok(bodies.iter().map(EventBody::event_type).collect())
    }

    /// Whether the log agrees with the item of a page.
    pub(crate) async fn is_recorded(&self, item: &PageItem, hint: Hint) -> Result<bool, HandleError> {
        let bodies = match (item.entity(), item) {
            (entity, PageItem::User(user)) => {
                self.differences(entity, AboutUser { pk: user.pk, hint }, Some(user)).await?
            }
            (entity, PageItem::Group(group)) => {
                self.differences(entity, AboutGroup { id: group.uuid, hint }, Some(group)).await?
            }
        };
        Ok(bodies.is_empty())
    }

    /// The events that would make the log agree with `listed`, or with authentik's answer if nothing is listed.
    async fn differences<S: Source>(
        &self,
        entity: Entity,
        source: S,
        listed: Option<&S::State>,
    ) -> Result<Vec<EventBody>, HandleError> {
        let log_end = self.log_end::<S>(entity).await?;
        let answer = if listed.is_none() { source.read(&self.directory).await? } else { None };
        let state = listed.or(answer.as_ref().map(|(state, _)| state));
        Ok(source.decide(&log_end.recorded, state, None))
    }

    /// Records new entities as listed, with one commit. Returns for each whether this import recorded it.
    ///
    /// An entity that another worker recorded in the meantime is recorded by the rule if the page differs.
    pub(crate) async fn import(
        &self,
        new: Vec<(PageItem, Hint)>,
    ) -> Vec<(Entity, Result<bool, HandleError>)> {
        let first_events = |(item, hint): &(PageItem, Hint)| {
            self.events(item.entity(), 0, item.first_events(hint), &hint.cause)
        };
        let firsts: Vec<Event> = new.iter().flat_map(first_events).collect();
        if firsts.is_empty() {
            return vec![];
        }
        match self.log.append_firsts(&firsts).await {
            Ok(_) => {
                count(&firsts);
                new.into_iter().map(|(item, _)| (item.entity(), Ok(true))).collect()
            }
            Err(error @ PublishError::Unacknowledged(_)) => {
                let failed =
                    |(item, _): (PageItem, Hint)| (item.entity(), Err(unacknowledged(error.clone())));
                new.into_iter().map(failed).collect()
            }
            // One refused event refuses the whole commit.
            Err(_) => {
                let each = new.into_iter().zip(firsts).map(|((item, hint), first)| async move {
                    (item.entity(), self.import_one(item, hint, first).await)
                });
                stream::iter(each).buffer_unordered(AT_ONCE).collect().await
            }
        }
    }

    async fn import_one(&self, item: PageItem, hint: Hint, first: Event) -> Result<bool, HandleError> {
        let entity = item.entity();
        match self.log.append(entity, 0, std::slice::from_ref(&first)).await {
            Ok(_) => {
                count(&[first]);
                return Ok(true);
            }
            Err(error @ PublishError::Unacknowledged(_)) => return Err(unacknowledged(error)),
            Err(_) => {}
        }
        if !self.is_recorded(&item, hint.clone()).await? {
            self.record(entity, hint, clock::now()).await?;
        }
        Ok(false)
    }
}

fn unacknowledged(error: PublishError) -> HandleError {
    HandleError::Retry(anyhow::Error::new(error).context("appending events"))
}
