//! Conditional appends: all events of a change or none.

use async_nats::HeaderMap;
use domain::event::{CONTENT_TYPE, Event};
use domain::key::Entity;

use super::EventLog;
use crate::publish::{self, Expected, NewMessage, PublishError, Stored, not_json};

impl EventLog {
    /// Appends all events of one entity or none, on the condition that its newest event is at `position`.
    ///
    /// Position 0 means that the entity has no events. [`PublishError::Conflict`] means that the condition failed.
    pub async fn append(
        &self,
        entity: Entity,
        position: u64,
        events: &[Event],
    ) -> Result<Stored, PublishError> {
        let mut messages = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            messages.push(self.message(entity, event, (index == 0).then_some(position))?);
        }
        self.commit(messages).await
    }

    /// Appends the first event of each of many entities, all of them or none. At most 1000 events are allowed.
    ///
    /// [`PublishError::Conflict`] means that at least one of the entities already has events.
    pub async fn append_firsts(&self, firsts: &[Event]) -> Result<Stored, PublishError> {
        let messages = firsts.iter().map(|event| self.message(event.subject, event, Some(0)));
        self.commit(messages.collect::<Result<_, _>>()?).await
    }

    fn message(
        &self,
        entity: Entity,
        event: &Event,
        position: Option<u64>,
    ) -> Result<NewMessage, PublishError> {
        let namespace = self.namespace();
        let payload = event.to_json().map_err(|error| not_json("the event", &error))?;
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", CONTENT_TYPE);
        headers.insert("Cause", event.causationid.as_str());
        let expected = position
            .map(|last_sequence| Expected { last_sequence, filter: Some(namespace.entity_filter(entity)) });
        let subject = namespace.event_subject(entity, event.body.event_type());
        Ok(NewMessage { subject, headers, payload: payload.into(), expected })
    }

    async fn commit(&self, mut messages: Vec<NewMessage>) -> Result<Stored, PublishError> {
        if messages.len() == 1 {
            return publish::publish(&self.nats, messages.remove(0)).await;
        }
        let batch = runtime::clock::new_id().simple().to_string();
        let _permit = self.batches.acquire().await;
        publish::publish_batch(&self.nats, &batch, messages).await
    }
}
