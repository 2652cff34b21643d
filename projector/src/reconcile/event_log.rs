//! Backfills the inbox from authentik's event log with the events whose webhooks were never delivered.
//!
//! An event has the same delivery id as its webhook, so the inbox refuses events that a webhook has already delivered.
//! The log cannot be filtered by time. Its pages are read in the order of `created`, so new events do not shift them.

use std::time::Duration;

use anyhow::Context;
use domain::event::Channel;
use domain::hint::{Parsed, read};
use domain::key::DeliveryId;
use domain::timestamp::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use runtime::clock;
use serde::{Deserialize, Serialize};
use store::inbox::{has_delivery, put_delivery};
use store::publish::PublishError;
use store::views;

use super::{Mode, Progress, Stage, Sweep};
use crate::directory::{Directory, LoggedEvent, Page};

/// How far a backfill overlaps with the previous one: authentik sets `created` before the event becomes visible.
const OVERLAP: Duration = Duration::from_hours(1);

/// How many events are put into the inbox concurrently.
const AT_ONCE: usize = 32;

const CURSOR_KEY: &str = "event-log";

/// The start time of the last completed backfill. Webhooks do not move it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Cursor {
    walked: Timestamp,
}

impl<D: Directory> Sweep<D> {
    /// Puts missing events into the inbox, oldest first; a dry run only counts them. Returns how many were missing.
    ///
    /// Reads from `since`, or from the last completed backfill. Without either, it only starts the cursor.
    pub(super) async fn backfill(
        &self,
        mode: Mode,
        since: Option<Timestamp>,
        progress: Progress<'_>,
    ) -> anyhow::Result<Option<u64>> {
        let began = clock::now();
        let meta = self.nats.namespace.meta_bucket();
        let cursor = views::read::<Cursor>(&self.nats, &meta, CURSOR_KEY).await?;
        let last = cursor.as_ref().map(|cursor| minus(cursor.value.walked, OVERLAP));
        let n_missing = match since.or(last) {
            Some(from) => {
                let from = self.limit_to_inbox_age(from, began).await?;
                Some(self.put_since(from, mode, progress).await?)
            }
            None => None,
        };
        if mode == Mode::DryRun {
            return Ok(n_missing);
        }
        metrics::counter!("projector_event_log_found_total").increment(n_missing.unwrap_or_default());
        if let Some(n_put) = n_missing.filter(|n_put| *n_put > 0) {
            tracing::info!("found {n_put} events in authentik's log that no webhook had delivered");
        }
        // A backfill from `since` may leave a gap after the cursor, so it must not move the cursor.
        if since.is_none() {
            let revision = cursor.map_or(0, |cursor| cursor.revision);
            let walked = Cursor { walked: began };
            match views::write(&self.nats, &meta, CURSOR_KEY, &walked, revision).await {
                // Another process completed a backfill at the same time.
                Ok(_) | Err(PublishError::Conflict) => {}
                Err(error) => return Err(error).context("storing the cursor of the event log"),
            }
        }
        Ok(n_missing)
    }

    /// Moves `from` to the oldest time that the inbox covers: it cannot refuse older events, so they would be recorded
    /// twice.
    async fn limit_to_inbox_age(&self, from: Timestamp, now: Timestamp) -> anyhow::Result<Timestamp> {
        let inbox = self.nats.jetstream.get_stream(self.nats.namespace.inbox_stream()).await;
        let max_age = inbox.context("opening the inbox")?.cached_info().config.max_age;
        if max_age.is_zero() {
            return Ok(from);
        }
        let oldest = minus(now, max_age.saturating_sub(OVERLAP));
        if from < oldest {
            tracing::warn!(
                "events before {oldest} are left out: the inbox does not keep deliveries that long"
            );
        }
        Ok(from.max(oldest))
    }

    async fn put_since(&self, from: Timestamp, mode: Mode, progress: Progress<'_>) -> anyhow::Result<u64> {
        let first = self.first_page_since(from).await?;
        let mut number = first;
        let mut page = self.events(number).await?;
        let mut n_missing = 0;
        loop {
            let events = page.items.iter().filter(|event| event.created >= from);
            n_missing += self.put_missing(events.cloned().collect(), mode).await?;
            let Some(next) = page.next else { return Ok(n_missing) };
            let n_pages = page.n_all.div_ceil((page.items.len() as u64).max(1));
            progress(Stage::EventLog, number + 1 - first, (n_pages + 1).saturating_sub(first));
            let following = self.events(next).await?;
            // Expired events shift later ones to earlier pages, so the walk could skip an event.
            let reread = self.events(number).await?;
            if last_id(&reread) == last_id(&page) {
                (number, page) = (next, following);
            } else {
                page = reread;
            }
        }
    }

    /// The page with the first event at or after `from`, found by binary search.
    async fn first_page_since(&self, from: Timestamp) -> anyhow::Result<u64> {
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

    /// Puts events into the inbox in their order. Returns how many were missing there.
    async fn put_missing(&self, events: Vec<LoggedEvent>, mode: Mode) -> anyhow::Result<u64> {
        let puts: Vec<_> = events.into_iter().map(|event| self.put_if_missing(event, mode)).collect();
        let were_missing: Vec<bool> = stream::iter(puts).buffered(AT_ONCE).try_collect().await?;
        Ok(were_missing.into_iter().filter(|was_missing| *was_missing).count() as u64)
    }

    /// Returns whether the event was missing in the inbox. Events that need no hint are never missing.
    async fn put_if_missing(&self, event: LoggedEvent, mode: Mode) -> anyhow::Result<bool> {
        let id = DeliveryId::from(event.id);
        // An unreadable event goes into the inbox and becomes a dead letter, like an unreadable webhook.
        if let Ok(Parsed::Ignored(_)) = read(id.clone(), Channel::EventLog, &event.body) {
            return Ok(false);
        }
        if mode == Mode::DryRun {
            return Ok(!has_delivery(&self.nats, &id).await?);
        }
        match put_delivery(&self.nats, &id, Channel::EventLog, event.body.into()).await {
            Ok(_) => Ok(true),
            Err(PublishError::Conflict) => Ok(false),
            Err(error) => Err(anyhow::Error::new(error).context("putting an event into the inbox")),
        }
    }
}

fn minus(time: Timestamp, duration: Duration) -> Timestamp {
    (time.to_offset_date_time() - duration).into()
}

fn last_id(page: &Page<LoggedEvent>) -> Option<uuid::Uuid> {
    page.items.last().map(|event| event.id)
}
