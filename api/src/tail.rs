//! Keeping up: with the log, with rebuilt projections, and with whether NATS is there.

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

use crate::live::{Kept, Live, advance, apply_to};

/// How often the pointers of the projections are looked at.
const POLL: Duration = Duration::from_secs(2);

/// Who reads on to a new generation waits so long for an event before looking whether one is missing.
const QUIET: Duration = Duration::from_secs(5);

/// The tail of the log: it tells of every event, and of whether it is up to date.
pub fn tail(live: &Live, from: u64, limit: Duration) -> Follow {
    live.log.follow(from).checking_leader_after(look(limit))
}

/// Takes in every event, for ever.
pub async fn follow(live: Arc<Live>, mut log: Follow, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut is_failing = false;
    while let Some(next) = shutdown.run_until_cancelled(log.next()).await {
        match next {
            Ok(message) => {
                is_failing = false;
                live.take_in(&message);
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!("cannot follow the events; trying again: {error:#}");
                }
                is_failing = true;
                shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(250))).await;
            }
        }
    }
    Ok(())
}

/// How often it is looked whether the log can be read: often enough to keep the limit.
fn look(limit: Duration) -> Duration {
    (limit / 4).clamp(Duration::from_millis(20), Duration::from_secs(1))
}

/// Notes when the tail was not known to be up to date for longer than the limit: then a revocation may have been
/// missed. A connection is not enough: a server that hangs keeps it.
pub async fn watch_staleness(
    live: Arc<Live>,
    up_to_date: watch::Receiver<Instant>,
    limit: Duration,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(look(limit));
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let is_stale = up_to_date.borrow().elapsed() > limit;
        if is_stale != live.is_stale() {
            let what = if is_stale {
                "not answering reads: the log cannot be read"
            } else {
                "reading the log again"
            };
            tracing::warn!("{what}");
        }
        live.set_stale(is_stale);
    }
    Ok(())
}

/// Loads a projection again when another generation of it is to be read. Fails when the stream of events is
/// another one: then only a new start helps.
pub async fn watch_pointers(live: Arc<Live>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut pointers = [None, None, None];
    let mut is_first = true;
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        if !live.nats.is_connected() {
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
            Some(Err(error)) => tracing::warn!("cannot look at the projections: {error:#}"),
            None => return Ok(()),
        }
    }
    Ok(())
}

async fn check_epoch(live: &Live) -> anyhow::Result<()> {
    // An error is no answer.
    if let Ok(log) = EventLog::open(&live.nats).await {
        ensure!(log.epoch() == live.log.epoch(), "the stream of events was replaced: start again");
    }
    Ok(())
}

async fn check_pointer<P: Kept>(
    live: &Live,
    known: &mut Option<Pointer>,
    is_first: bool,
) -> anyhow::Result<()> {
    let pointer = read_pointer::<P>(&live.nats).await?;
    if pointer == *known {
        return Ok(());
    }
    // What was loaded at the start is what this points to, or folded from the first event: as good.
    if !is_first && pointer.as_ref().is_some_and(|pointer| pointer.version == P::VERSION) {
        reload::<P>(live).await?;
    }
    *known = pointer;
    Ok(())
}

async fn read_pointer<P: Kept>(nats: &Nats) -> anyhow::Result<Option<Pointer>> {
    let pointer = views::read(nats, &nats.namespace.meta_bucket(), &pointer_key(P::NAME)).await?;
    Ok(pointer.map(|entry| entry.value))
}

/// Loads beside the copy that is used, reads on until it is not behind, and takes its place at once.
async fn reload<P: Kept>(live: &Live) -> anyhow::Result<()> {
    let fresh = Replica::<P>::default();
    let loaded = fresh.load(&live.nats).await.with_context(|| format!("loading projection {}", P::NAME))?;
    ensure!(loaded <= live.log.bounds().await?.last, "projection {} is of another stream", P::NAME);
    let mut log = live.log.follow(loaded + 1);
    while !live.exchange(&fresh) {
        let head = live.feed.head();
        let Ok(message) = tokio::time::timeout(QUIET, log.next()).await else {
            // What is missing up to there was erased, unless NATS is only slow: the leader knows.
            if live.log.head().await? <= fresh.sequence() {
                advance(&fresh, head);
            }
            continue;
        };
        let message = message.context("reading on from the new generation")?;
        match message.decode() {
            Ok(event) => apply_to(&fresh, &event),
            Err(_) => advance(&fresh, message.sequence),
        }
    }
    tracing::info!("projection {} was rebuilt; reading its new generation", P::NAME);
    Ok(())
}
