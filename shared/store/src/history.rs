//! All events of one user or group, a page at a time.

use anyhow::bail;
use domain::key::Entity;

use crate::log::{EventLog, From, StoredMessage};
use crate::publish::retry_delay;

/// How many events are read at once.
const PAGE: usize = 256;

/// How often a replica that lags behind the log is asked again.
const MAX_LAGGING: u32 = 8;

/// A way through the events of an entity, from the first to one that is known to be there.
#[derive(Debug)]
pub struct History {
    log: EventLog,
    filter: String,
    next: u64,
    until: u64,
}

impl History {
    /// Up to the event of that sequence, which the leader gave.
    pub fn new(log: &EventLog, entity: Entity, until: u64) -> Self {
        Self { log: log.clone(), filter: log.namespace().entity_filter(entity), next: 1, until }
    }

    /// The events that come next; none at the end. A replica that does not have the last one yet is waited for.
    pub async fn page(&mut self) -> anyhow::Result<Vec<StoredMessage>> {
        for n_empty in 0..MAX_LAGGING {
            if self.next > self.until {
                return Ok(vec![]);
            }
            let mut page = self.log.page(&self.filter, From::Sequence(self.next), PAGE).await?;
            page.retain(|message| message.sequence <= self.until);
            if let Some(last) = page.last() {
                self.next = last.sequence + 1;
                return Ok(page);
            }
            tokio::time::sleep(retry_delay(n_empty)).await;
        }
        bail!("the replica that answers lags behind the log: try again")
    }
}
