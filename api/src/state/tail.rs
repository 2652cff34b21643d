//! Keeps the state current: follows the log, watches for staleness, and loads new generations of projections.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use domain::view::activity::Activity;
use domain::view::groups::Groups;
use domain::view::users::Users;
use runtime::CancellationToken;
use runtime::nats::Nats;
use store::follow::Follow;
use store::log::EventLog;
use store::replica::Replica;
use store::views::{self, Pointer, pointer_key};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::state::live::{LiveState, ReplicatedProjection};

/// How often the pointers to the projections' generations are read.
const POLL: Duration = Duration::from_secs(2);

/// While a new generation catches up, it asks the leader for the newest sequence after this time without an event.
const QUIET: Duration = Duration::from_secs(5);

/// Opens the log after the newest applied message. `limit` is the staleness limit, which the log's checks must keep.
pub fn open(live: &LiveState, limit: Duration) -> Follow {
    live.log().follow(live.head() + 1).checking_leader_after(check_interval(limit))
}

/// Applies every message of the log, until shutdown.
pub async fn follow(
    live: Arc<LiveState>,
    mut log: Follow,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut is_failing = false;
    while let Some(next) = shutdown.run_until_cancelled(log.next()).await {
        match next {
            Ok(message) => {
                is_failing = false;
                live.apply_message(&message);
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!("cannot follow the event log; retrying: {error:#}");
                }
                is_failing = true;
                shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(250))).await;
            }
        }
    }
    Ok(())
}

/// Interval of the staleness checks, short enough to notice within the limit.
fn check_interval(limit: Duration) -> Duration {
    (limit / 4).clamp(Duration::from_millis(20), Duration::from_secs(1))
}

/// Marks the state as stale when the log was last proven up to date longer ago than the limit: revocations may have been
/// missed. An open connection proves nothing, because a server that hangs keeps it.
pub async fn watch_staleness(
    live: Arc<LiveState>,
    up_to_date: watch::Receiver<Instant>,
    limit: Duration,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(check_interval(limit));
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let is_stale = up_to_date.borrow().elapsed() > limit;
        if is_stale != live.is_stale() {
            let change = if is_stale {
                "refusing reads: the event log cannot be read"
            } else {
                "answering reads: the event log can be read again"
            };
            tracing::warn!("{change}");
        }
        live.set_stale(is_stale);
    }
    Ok(())
}

/// Loads new generations of projections. Fails if the stream of events was replaced, which requires a restart.
pub async fn watch_generations(live: Arc<LiveState>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut pointers = [None, None, None];
    let mut is_first = true;
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        if !live.nats().is_connected() {
            continue;
        }
        match shutdown.run_until_cancelled(check_epoch(&live)).await {
            Some(checked) => checked?,
            None => return Ok(()),
        }
        let [users, groups, activity] = &mut pointers;
        let checks = async {
            check_pointer::<Users>(&live, users, is_first).await?;
            check_pointer::<Groups>(&live, groups, is_first).await?;
            check_pointer::<Activity>(&live, activity, is_first).await
        };
        match Box::pin(shutdown.run_until_cancelled(checks)).await {
            Some(Ok(())) => is_first = false,
            Some(Err(error)) => tracing::warn!("cannot check the projections for new generations: {error:#}"),
            None => return Ok(()),
        }
    }
    Ok(())
}

async fn check_epoch(live: &LiveState) -> anyhow::Result<()> {
    // An error says nothing about the stream.
    if let Ok(log) = EventLog::open(live.nats()).await {
        ensure!(log.epoch() == live.log().epoch(), "the stream of events was replaced; restart the API");
    }
    Ok(())
}

async fn check_pointer<P: ReplicatedProjection>(
    live: &LiveState,
    known: &mut Option<Pointer>,
    is_first: bool,
) -> anyhow::Result<()> {
    let pointer = read_pointer::<P>(live.nats()).await?;
    if pointer == *known {
        return Ok(());
    }
    // The replica from the start is this generation or folded from the first event, which is equivalent.
    if !is_first && pointer.as_ref().is_some_and(|pointer| pointer.version == P::VERSION) {
        reload::<P>(live).await?;
    }
    *known = pointer;
    Ok(())
}

async fn read_pointer<P: ReplicatedProjection>(nats: &Nats) -> anyhow::Result<Option<Pointer>> {
    let pointer = views::read(nats, &nats.namespace.meta_bucket(), &pointer_key(P::NAME)).await?;
    Ok(pointer.map(|entry| entry.value))
}

/// Loads a second replica, catches up with the log, and then replaces the current one.
async fn reload<P: ReplicatedProjection>(live: &LiveState) -> anyhow::Result<()> {
    let fresh = Replica::<P>::default();
    let loaded = fresh.load(live.nats()).await.with_context(|| format!("loading projection {}", P::NAME))?;
    let last = live.log().bounds().await?.last;
    ensure!(loaded <= last, "projection {} belongs to another stream of events; rebuild it", P::NAME);
    let mut log = live.log().follow(loaded + 1);
    while !live.replace_replica(&fresh) {
        let head = live.head();
        let Ok(message) = tokio::time::timeout(QUIET, log.next()).await else {
            // The missing events were erased, unless NATS is slow. The leader knows.
            if live.log().head().await? <= fresh.sequence() {
                fresh.advance(head);
            }
            continue;
        };
        let message = message.context("reading events after the new generation")?;
        match message.decode() {
            Ok(event) => fresh.apply(&event),
            Err(_) => fresh.advance(message.sequence),
        }
    }
    tracing::info!("projection {} was rebuilt; using its new generation", P::NAME);
    Ok(())
}
