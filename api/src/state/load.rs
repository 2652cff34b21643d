//! Loads the state at the start, and waits until it includes the newest event.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::event::{EventType, Recorded};
use domain::key::GroupId;
use domain::timestamp::Timestamp;
use domain::view::Projection;
use domain::view::groups::Groups;
use runtime::health::Health;
use runtime::nats::Nats;
use runtime::{CancellationToken, clock};
use store::log::{Bounds, EventLog, ReadFrom};
use store::publish::retry_delay;
use store::replica::Replica;

use crate::config::Config;
use crate::state::live::{InitialState, LiveState, Replicas};
use crate::state::people::People;

/// The health condition that loading fulfils.
pub const CONDITION: &str = "projections";

/// Number of older events in the feed after the start, for clients that reconnect after a restart.
const PRELOAD: u64 = 2_048;

/// How far back departures and erasures are read. With an older token, only recorded members are admins.
const REVOCATION_WINDOW: Duration = Duration::from_hours(24);

/// Retries until the projections are loaded: NATS or a bucket may not exist yet.
pub async fn load(
    config: &Config,
    nats: &Nats,
    health: &Health,
    shutdown: &CancellationToken,
) -> anyhow::Result<Arc<LiveState>> {
    let namespace = &nats.namespace;
    let streams = [namespace.inbox_stream(), namespace.events_stream(), namespace.dead_letters_stream()];
    nats.wait_for_streams(&streams, health, shutdown).await?;
    for n_tries in 0.. {
        match try_load(config, nats, shutdown).await {
            Ok(live) => return Ok(Arc::new(live)),
            Err(error) => {
                let reason = format!("{error:#}");
                if n_tries % 10 == 0 {
                    tracing::warn!("cannot load the projections; retrying: {reason}");
                }
                health.failed(CONDITION, reason);
            }
        }
        tokio::time::sleep(retry_delay(n_tries)).await;
    }
    anyhow::bail!("gave up loading the projections")
}

async fn try_load(config: &Config, nats: &Nats, shutdown: &CancellationToken) -> anyhow::Result<LiveState> {
    let log = EventLog::open(nats).await?;
    let bounds = log.bounds().await?;
    let replicas = Replicas {
        users: load_replica(nats, bounds).await?,
        groups: load_replica(nats, bounds).await?,
        activity: load_replica(nats, bounds).await?,
    };
    let Replicas { users, groups, activity } = &replicas;
    let folded = users.sequence().min(groups.sequence()).min(activity.sequence());
    let feed_start = (folded + 1).saturating_sub(PRELOAD).max(bounds.first).max(1).min(folded + 1);
    let people = People::new(config.admin_groups());
    load_revocations(&log, &people, groups).await?;
    tracing::info!("loaded the projections up to event {folded} of {}", bounds.last);
    let (nats, shutdown) = (nats.clone(), shutdown.clone());
    Ok(InitialState { nats, log, replicas, people, feed_start, shutdown }.into())
}

/// Loads a replica. One that is ahead of the stream was folded from another stream, and is replaced by an empty one.
async fn load_replica<P: Projection>(nats: &Nats, bounds: Bounds) -> anyhow::Result<Replica<P>> {
    let replica = Replica::default();
    let sequence = replica.load(nats).await.with_context(|| format!("loading projection {}", P::NAME))?;
    if sequence <= bounds.last {
        return Ok(replica);
    }
    tracing::warn!(
        "projection {} belongs to another stream of events; folding it from the first event",
        P::NAME
    );
    Ok(Replica::default())
}

/// Reads recent revocations from the log, so that a restart does not undo them.
async fn load_revocations(log: &EventLog, people: &People, groups: &Replica<Groups>) -> anyhow::Result<()> {
    let since = clock::now().to_offset_date_time() - REVOCATION_WINDOW;
    let name_of = |group: GroupId| {
        groups.read(|groups| Some(groups.get(&group.to_string())?.group.as_ref()?.name.clone()))
    };
    let start = ReadFrom::Time(Timestamp::from(since));
    let record_departure = |event: &Recorded| people.record_departure(event, name_of);
    let departures = for_each_event(log, EventType::UserLeftGroup, start, record_departure).await;
    departures.context("reading departures from groups")?;
    let record_erasure = |event: &Recorded| people.record_unknown_erasure(event.stored.unix_seconds());
    let erasures = for_each_event(log, EventType::UserErased, start, record_erasure).await;
    erasures.context("reading erasures")?;
    people.set_departures_known_since(since.unix_timestamp());
    Ok(())
}

/// Calls `handle` for each decodable event of this type.
async fn for_each_event(
    log: &EventLog,
    event_type: EventType,
    mut from: ReadFrom,
    handle: impl Fn(&Recorded),
) -> anyhow::Result<()> {
    let subject = log.namespace().events_filter(None, Some(event_type));
    loop {
        let page = log.page(&subject, from, 500).await?;
        let Some(last) = page.last() else { return Ok(()) };
        from = ReadFrom::Sequence(last.sequence + 1);
        page.iter().filter_map(|message| message.decode().ok()).for_each(|event| handle(&event));
    }
}

/// Waits until all events that exist at the time of the call are applied.
pub async fn wait_until_caught_up(live: &LiveState) -> anyhow::Result<()> {
    let last = live.log().bounds().await?.last;
    let mut head = live.subscribe_head();
    loop {
        // `wait_for` returns a borrow of the channel, which must be dropped before the next await.
        let has_arrived =
            tokio::time::timeout(Duration::from_secs(1), head.wait_for(|head| *head >= last)).await.is_ok();
        if has_arrived {
            return Ok(());
        }
        // The last event may have been erased. Then no message is left to wait for.
        let next = ReadFrom::Sequence(live.head() + 1);
        if live.log().page(&live.all_events(), next, 1).await?.is_empty() {
            return Ok(());
        }
    }
}
