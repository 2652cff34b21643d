//! Reads authentik's event log for what its webhooks gave up to deliver.
//!
//! Events go into the inbox under the id that their webhook has, so what came by webhook is refused there. The log has
//! no filter by time: pages are in the order of `created`, so that new events come at the end and shift nothing.

use std::time::Duration;

use anyhow::Context;
use domain::event::Channel;
use domain::hint::{Reading, read};
use domain::key::DeliveryId;
use domain::timestamp::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use runtime::clock;
use serde::{Deserialize, Serialize};
use store::inbox::put_delivery;
use store::publish::PublishError;
use store::views;

use super::Sweeper;
use crate::directory::{Directory, LoggedEvent, Page};

/// How far before the last walk a walk begins: `created` is set before the event can be seen.
const OVERLAP: Duration = Duration::from_hours(1);

/// How many events are put into the inbox at once.
const AT_ONCE: usize = 32;

const CURSOR_KEY: &str = "event-log";

/// When the last walk that was completed began. Nothing that was pushed to us moves it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Cursor {
    walked: Timestamp,
}

impl<D: Directory> Sweeper<D> {
    /// Puts what the inbox lacks into it, oldest first. The first time there is nothing to catch up with.
    pub(super) async fn walk_event_log(&self) -> anyhow::Result<()> {
        let began = clock::now();
        let meta = self.nats.namespace.meta_bucket();
        let cursor = views::read::<Cursor>(&self.nats, &meta, CURSOR_KEY).await?;
        if let Some(cursor) = &cursor {
            let from = (cursor.value.walked.to_offset_date_time() - OVERLAP).into();
            let n_put = self.walk_from(from).await?;
            if n_put > 0 {
                tracing::info!("found {n_put} events in authentik's log that its webhooks had not brought");
            }
            metrics::counter!("projector_event_log_found_total").increment(n_put);
        }
        let revision = cursor.map_or(0, |cursor| cursor.revision);
        let walked = views::write(&self.nats, &meta, CURSOR_KEY, &Cursor { walked: began }, revision).await;
        walked.context("noting the walk through the event log")?;
        Ok(())
    }

    async fn walk_from(&self, from: Timestamp) -> anyhow::Result<u64> {
        let mut number = self.first_page_with(from).await?;
        let mut page = self.events(number).await?;
        let mut n_put = 0;
        loop {
            n_put += self.put(&page, from).await?;
            let Some(next) = page.next else { return Ok(n_put) };
            let following = self.events(next).await?;
            // Old events expire: then later ones move to earlier pages, and one could be passed over.
            let again = self.events(number).await?;
            if last_id(&again) == last_id(&page) {
                (number, page) = (next, following);
            } else {
                page = again;
            }
        }
    }

    /// The page that the first event at `from` or later is on, by halving.
    async fn first_page_with(&self, from: Timestamp) -> anyhow::Result<u64> {
        let first = self.events(1).await?;
        let per_page = (first.items.len() as u64).max(1);
        let (mut low, mut high) = (1, first.n_all.div_ceil(per_page).max(1));
        while low < high {
            let middle = low.midpoint(high);
            let ends_before =
                self.events(middle).await?.items.last().is_some_and(|event| event.created < from);
            if ends_before { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    async fn events(&self, page: u64) -> anyhow::Result<Page<LoggedEvent>> {
        Ok(self.recorder.directory().events(page).await?)
    }

    /// Puts those of a page into the inbox that ask for something. Returns how many were not there.
    async fn put(&self, page: &Page<LoggedEvent>, from: Timestamp) -> anyhow::Result<u64> {
        let events: Vec<LoggedEvent> =
            page.items.iter().filter(|event| event.created >= from).cloned().collect();
        let puts: Vec<_> = events.into_iter().map(|event| self.put_one(event)).collect();
        let put: Vec<u64> = stream::iter(puts).buffered(AT_ONCE).try_collect().await?;
        Ok(put.iter().sum())
    }

    async fn put_one(&self, event: LoggedEvent) -> anyhow::Result<u64> {
        let id = DeliveryId::from(event.id);
        // What cannot be read goes in as well: it becomes a dead letter, as it would by webhook.
        if let Ok(Reading::Nothing(_)) = read(id.clone(), Channel::EventLog, &event.body) {
            return Ok(0);
        }
        match put_delivery(&self.nats, &id, Channel::EventLog, event.body.into()).await {
            Ok(_) => Ok(1),
            Err(PublishError::Conflict) => Ok(0),
            Err(error) => Err(anyhow::Error::new(error).context("putting an event into the inbox")),
        }
    }
}

fn last_id(page: &Page<LoggedEvent>) -> Option<uuid::Uuid> {
    page.items.last().map(|event| event.id)
}
