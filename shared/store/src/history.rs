//! All events of one user or group, page by page.

use domain::key::Entity;

use crate::log::{EventLog, ReadFrom, StoredMessage};

/// Most events of a page.
const PAGE: usize = 256;

/// A cursor over the events of an entity, from the first to a given one.
#[derive(Debug)]
pub struct History {
    log: EventLog,
    filter: String,
    next: u64,
    until: u64,
}

impl History {
    /// A cursor up to the event at sequence `until`, which must be stored.
    pub fn new(log: &EventLog, entity: Entity, until: u64) -> Self {
        Self { log: log.clone(), filter: log.namespace().entity_filter(entity), next: 1, until }
    }

    /// The next events, oldest first. Empty after the last one.
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
