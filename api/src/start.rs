//! From nothing to a state that may be served: load, then read on to what was the last event.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::event::{EventType, Recorded};
use domain::key::{Entity, GroupId};
use domain::timestamp::Timestamp;
use domain::view::Projection;
use runtime::health::Health;
use runtime::nats::Nats;
use runtime::{CancellationToken, clock};
use store::log::{Bounds, EventLog, ReadFrom};
use store::publish::retry_delay;
use store::replica::Replica;

use crate::config::Config;
use crate::live::{Live, Loaded};
use crate::people::People;

/// The condition under which reads are served.
pub const CONDITION: &str = "projections";

/// How many events the feed takes up from before the start, for browsers that reconnect after a restart.
const PRELOAD: u64 = 2_048;

/// Departures from admin groups, and erasures, are looked up so far back. A token that is older counts as an admin's only
/// where the user is a recorded member.
const MEMORY: Duration = Duration::from_hours(24);

/// Tries until it works: NATS or a bucket may not be there yet.
pub async fn load(
    config: &Config,
    nats: &Nats,
    health: &Health,
    shutdown: &CancellationToken,
) -> anyhow::Result<Arc<Live>> {
    let namespace = &nats.namespace;
    let streams = [namespace.inbox_stream(), namespace.events_stream(), namespace.dead_letters_stream()];
    nats.wait_for_streams(&streams, health, shutdown).await?;
    for n_tries in 0.. {
        match try_load(config, nats, shutdown).await {
            Ok(live) => return Ok(Arc::new(live)),
            Err(error) => {
                let reason = format!("{error:#}");
                if n_tries % 10 == 0 {
                    tracing::warn!("cannot load the projections yet: {reason}");
                }
                health.failed(CONDITION, reason);
            }
        }
        tokio::time::sleep(retry_delay(n_tries)).await;
    }
    anyhow::bail!("gave up loading the projections")
}

async fn try_load(config: &Config, nats: &Nats, shutdown: &CancellationToken) -> anyhow::Result<Live> {
    let log = EventLog::open(nats).await?;
    let bounds = log.bounds().await?;
    let loaded = Loaded {
        users: load_replica(nats, bounds).await?,
        groups: load_replica(nats, bounds).await?,
        activity: load_replica(nats, bounds).await?,
    };
    let sequences = [loaded.users.sequence(), loaded.groups.sequence(), loaded.activity.sequence()];
    let folded = sequences.into_iter().min().unwrap_or_default();
    let feed_from = (folded + 1).saturating_sub(PRELOAD).max(bounds.first).max(1).min(folded + 1);
    let people = People::new(config.admin_groups());
    remember(&log, &people, &loaded).await?;
    tracing::info!("loaded the projections up to event {folded} of {}", bounds.last);
    Ok(Live::new(log, nats.clone(), loaded, people, feed_from, shutdown.clone()))
}

/// Loads a copy; one that is ahead of the stream was folded from another stream, and is left aside.
async fn load_replica<P: Projection>(nats: &Nats, bounds: Bounds) -> anyhow::Result<Replica<P>> {
    let replica = Replica::default();
    let sequence = replica.load(nats).await.with_context(|| format!("loading projection {}", P::NAME))?;
    if sequence <= bounds.last {
        return Ok(replica);
    }
    tracing::warn!("projection {} is of another stream of events; folding anew", P::NAME);
    Ok(Replica::default())
}

/// A restart must not give back what an event took away.
async fn remember(log: &EventLog, people: &People, loaded: &Loaded) -> anyhow::Result<()> {
    let since = clock::now().to_offset_date_time() - MEMORY;
    let name_of = |group: GroupId| {
        loaded.groups.read(|groups| Some(groups.get(&group.to_string())?.group.as_ref()?.name.clone()))
    };
    let begin = ReadFrom::Time(Timestamp::from(since));
    let depart = |event: &Recorded| {
        if let Entity::User(pk) = event.event.subject {
            people.note_departure(pk, event, name_of);
        }
    };
    read_all(log, EventType::UserLeftGroup, begin, depart).await.context("reading who left which group")?;
    let erase = |event: &Recorded| people.note_unnamed_erasure(event.stored.unix_seconds());
    read_all(log, EventType::UserErased, begin, erase).await.context("reading when users were erased")?;
    people.remember_from(since.unix_timestamp());
    Ok(())
}

/// Gives each event of a type that can be read.
async fn read_all(
    log: &EventLog,
    event_type: EventType,
    mut from: ReadFrom,
    take: impl Fn(&Recorded),
) -> anyhow::Result<()> {
    let subject = log.namespace().events_filter(None, Some(event_type));
    loop {
        let page = log.page(&subject, from, 500).await?;
        let Some(last) = page.last() else { return Ok(()) };
        from = ReadFrom::Sequence(last.sequence + 1);
        page.iter().filter_map(|message| message.decode().ok()).for_each(|event| take(&event));
    }
}

/// Waits until the tail has taken in what was the last event when this began.
pub async fn caught_up(live: &Live) -> anyhow::Result<()> {
    let last = live.log.bounds().await?.last;
    let mut head = live.feed.subscribe();
    loop {
        // The answer borrows from the channel: it must be gone before the next await.
        let is_there =
            tokio::time::timeout(Duration::from_secs(1), head.wait_for(|head| *head >= last)).await.is_ok();
        if is_there {
            return Ok(());
        }
        // The last event may have been erased: then nothing is left to wait for.
        let next = ReadFrom::Sequence(live.feed.head() + 1);
        if live.log.page(&live.everything(), next, 1).await?.is_empty() {
            return Ok(());
        }
    }
}
