//! Appending: all events of a change or none, where nothing else was appended before.

use async_nats::HeaderMap;
use domain::event::{CONTENT_TYPE, Event};
use domain::key::Entity;

use super::EventLog;
use crate::publish::{self, Expected, Outgoing, PublishError, Stored};

impl EventLog {
    /// Appends all events of one entity or none, where its newest event is at `position`.
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

    /// Appends the first events of many entities, one each, all of them or none.
    ///
    /// A conflict means that something is recorded of one of them. At most 1000 fit.
    pub async fn append_firsts(&self, firsts: &[Event]) -> Result<Stored, PublishError> {
        let messages = firsts.iter().map(|event| self.message(event.subject, event, Some(0)));
        self.commit(messages.collect::<Result<_, _>>()?).await
    }

    fn message(
        &self,
        entity: Entity,
        event: &Event,
        position: Option<u64>,
    ) -> Result<Outgoing, PublishError> {
        let namespace = self.namespace();
        let payload = event.to_json().map_err(|error| PublishError::Refused {
            code: 0,
            description: format!("the event is no JSON: {error}"),
        })?;
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", CONTENT_TYPE);
        headers.insert("Cause", event.causationid.as_str());
        let expected = position
            .map(|last_sequence| Expected { last_sequence, filter: Some(namespace.entity_filter(entity)) });
        let subject = namespace.event_subject(entity, event.body.event_type());
        Ok(Outgoing { subject, headers, payload: payload.into(), expected })
    }

    async fn commit(&self, mut messages: Vec<Outgoing>) -> Result<Stored, PublishError> {
        if messages.len() == 1 {
            return publish::publish(&self.nats, messages.remove(0)).await;
        }
        let batch = runtime::clock::new_id().simple().to_string();
        let _open = self.batches.acquire().await;
        publish::publish_batch(&self.nats, &batch, messages).await
    }
}
