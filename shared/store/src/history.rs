//! All events of one user or group, a page at a time.

use domain::key::Entity;

use crate::log::{EventLog, ReadFrom, StoredMessage};

/// How many events are read at once.
const PAGE: usize = 256;

/// A way through the events of an entity, from the first to one that is known to be there.
#[derive(Debug)]
pub struct History {
    log: EventLog,
    filter: String,
    next: u64,
    until: u64,
}

impl History {
    /// Up to the event of that sequence.
    pub fn new(log: &EventLog, entity: Entity, until: u64) -> Self {
        Self { log: log.clone(), filter: log.namespace().entity_filter(entity), next: 1, until }
    }

    /// The events that come next; none at the end.
    pub async fn page(&mut self) -> anyhow::Result<Vec<StoredMessage>> {
        if self.next > self.until {
            return Ok(vec![]);
        }
        let mut page = self.log.page(&self.filter, ReadFrom::Sequence(self.next), PAGE).await?;
        page.retain(|message| message.sequence <= self.until);
        self.next = page.last().map_or(self.until, |last| last.sequence) + 1;
        Ok(page)
    }
}
