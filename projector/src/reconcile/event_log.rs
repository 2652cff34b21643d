//! Reads authentik's event log for what its webhooks gave up to deliver.
//!
//! Events go into the inbox under the id that their webhook has, so what came by webhook is refused there. The log has
//! no filter by time: pages are in the order of `created`, so that new events come at the end and shift nothing.

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

/// A walk through the log.
#[derive(Clone, Copy)]
struct Walk {
    mode: Mode,
    from: Timestamp,
}

impl<D: Directory> Sweep<D> {
    /// Puts what the inbox lacks into it, oldest first; in a dry run it is only counted. Returns how many these are.
    ///
    /// Walks from `since`, or from the last completed walk: before the first one there is nothing to catch up with.
    pub(super) async fn walk_event_log(
        &self,
        mode: Mode,
        since: Option<Timestamp>,
        progress: Progress<'_>,
    ) -> anyhow::Result<Option<u64>> {
        let began = clock::now();
        let meta = self.nats.namespace.meta_bucket();
        let cursor = views::read::<Cursor>(&self.nats, &meta, CURSOR_KEY).await?;
        let last = cursor.as_ref().map(|cursor| minus(cursor.value.walked, OVERLAP));
        let n_lacking = match since.or(last) {
            Some(from) => {
                let from = self.kept_by_inbox(from, began).await?;
                Some(self.walk(Walk { mode, from }, progress).await?)
            }
            None => None,
        };
        if mode == Mode::DryRun {
            return Ok(n_lacking);
        }
        metrics::counter!("projector_event_log_found_total").increment(n_lacking.unwrap_or_default());
        if let Some(n_put) = n_lacking.filter(|n_put| *n_put > 0) {
            tracing::info!("found {n_put} events in authentik's log that its webhooks had not brought");
        }
        // A walk from another time says nothing about what lies between the last one and it.
        if since.is_none() {
            let revision = cursor.map_or(0, |cursor| cursor.revision);
            let walked = Cursor { walked: began };
            match views::write(&self.nats, &meta, CURSOR_KEY, &walked, revision).await {
                // Another process completed a walk at the same time.
                Ok(_) | Err(PublishError::Conflict) => {}
                Err(error) => return Err(error).context("noting the walk through the event log"),
            }
        }
        Ok(n_lacking)
    }

    /// What the inbox keeps no longer it could not refuse: older events would be recorded twice.
    async fn kept_by_inbox(&self, from: Timestamp, now: Timestamp) -> anyhow::Result<Timestamp> {
        let inbox = self.nats.jetstream.get_stream(self.nats.namespace.inbox_stream()).await;
        let kept = inbox.context("opening the inbox")?.cached_info().config.max_age;
        if kept.is_zero() {
            return Ok(from);
        }
        let oldest = minus(now, kept.saturating_sub(OVERLAP));
        if from < oldest {
            tracing::warn!("events of before {oldest} are left out: the inbox keeps none of that age");
        }
        Ok(from.max(oldest))
    }

    async fn walk(&self, walk: Walk, progress: Progress<'_>) -> anyhow::Result<u64> {
        let first = self.first_page_with(walk.from).await?;
        let mut number = first;
        let mut page = self.events(number).await?;
        let mut n_lacking = 0;
        loop {
            n_lacking += self.take_in(&page, walk).await?;
            let Some(next) = page.next else { return Ok(n_lacking) };
            let n_pages = page.n_all.div_ceil((page.items.len() as u64).max(1));
            progress(Stage::EventLog, number + 1 - first, (n_pages + 1).saturating_sub(first));
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

    /// Takes in those of a page that ask for something. Returns how many the inbox did not have.
    async fn take_in(&self, page: &Page<LoggedEvent>, walk: Walk) -> anyhow::Result<u64> {
        let events = page.items.iter().filter(|event| event.created >= walk.from).cloned();
        let taken: Vec<_> = events.map(|event| self.take_one_in(event, walk.mode)).collect();
        let lacking: Vec<bool> = stream::iter(taken).buffered(AT_ONCE).try_collect().await?;
        Ok(lacking.into_iter().filter(|is_lacking| *is_lacking).count() as u64)
    }

    /// Whether the inbox did not have it.
    async fn take_one_in(&self, event: LoggedEvent, mode: Mode) -> anyhow::Result<bool> {
        let id = DeliveryId::from(event.id);
        // What cannot be read goes in as well: it becomes a dead letter, as it would by webhook.
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
