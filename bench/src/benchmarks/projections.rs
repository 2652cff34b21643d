//! Writing views in batches, against single puts; and replaying all events, against only reading them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, ensure};
use async_nats::HeaderMap;
use domain::event::Recorded;
use domain::view::users::{UserView, Users};
use domain::view::{CHECKPOINT_KEY, Checkpoint, Projection, Views};
use futures_util::{StreamExt, TryStreamExt, stream};
use projector::projections::{ProjectionName, Projections};
use runtime::nats::Nats;
use runtime::{CancellationToken, clock, provision};
use store::log::EventLog;
use store::publish::{NewMessage, publish};
use store::{generations, views};

use crate::compare::{Comparison, Done, Plan, Unit, Way};
use crate::{events, hosts};

const BENCHMARK: &str = "projections";

/// A command that replays all events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    /// Folds the events and writes the views.
    Rebuild,
    /// Folds the events and reads the views to compare them.
    Verify,
}

impl Command {
    fn name(self) -> &'static str {
        match self {
            Self::Rebuild => "rebuild",
            Self::Verify => "verify",
        }
    }
}

/// Writing many views, writing few views, and reading many views.
const COMMANDS: [(Command, ProjectionName); 3] = [
    (Command::Rebuild, ProjectionName::Users),
    (Command::Rebuild, ProjectionName::Activity),
    (Command::Verify, ProjectionName::Users),
];

/// First generation of the written buckets, far above those of the rebuilds.
const FIRST_GENERATION: u64 = 1_000_000;

pub async fn run(plan: &Plan) -> anyhow::Result<Vec<Comparison>> {
    let (_server, nats) = hosts::nats().await;
    let mut comparisons = vec![];
    for n_in_flight in [1, 64] {
        comparisons.push(writing(plan, &nats, n_in_flight).await?);
    }
    comparisons.extend(replay(plan, &nats).await?);
    Ok(comparisons)
}

/// Writing views and checkpoint in one full commit, against a put for each view and one for the checkpoint.
async fn writing(plan: &Plan, nats: &Nats, n_in_flight: usize) -> anyhow::Result<Comparison> {
    let n_views = plan.size(900, 10);
    let folded = folded(n_views);
    let entries: Vec<_> = folded.iter().map(|(key, view)| (key.clone(), Some(view))).collect();
    let sequence = folded.sequence();
    let checkpoint = Checkpoint { epoch: "epoch".to_owned(), version: Users::VERSION, sequence };
    let comparison = Comparison {
        benchmark: BENCHMARK,
        case: format!("{n_views} views in one commit, or {n_in_flight} puts at once"),
        unit: Unit::Seconds,
        item: "view",
        rounds: vec![],
    };
    let generation = AtomicU64::new(FIRST_GENERATION);
    let measure = async |way| {
        let generation = generation.fetch_add(1, Ordering::Relaxed);
        let bucket = nats.namespace.projection_bucket(Users::NAME, generation);
        provision::ensure_projection_bucket(nats, &bucket, 1).await?;
        let start = Instant::now();
        let written = match way {
            Way::AsItIs => views::write_views(nats, &bucket, &entries, &checkpoint, 0).await,
            Way::Naive => {
                put_each(nats, &bucket, &folded, n_in_flight).await?;
                views::write(nats, &bucket, CHECKPOINT_KEY, &checkpoint, 0).await
            }
        };
        written.context("writing views")?;
        let cost = start.elapsed().as_secs_f64();
        let n_written = views::load::<Users>(nats, &bucket).await?.views.len();
        generations::delete(nats, Users::NAME, generation).await?;
        Ok(Done { n_items: u64::try_from(n_written)?, cost })
    };
    comparison.measure(plan, measure).await
}

/// The views of `n_users` users.
fn folded(n_users: i64) -> Views<Users> {
    let mut views = Views::<Users>::default();
    for (sequence, pk) in (1..).zip(1..=n_users) {
        views.apply(&Recorded { sequence, stored: clock::now(), event: events::registered(pk) });
    }
    views
}

async fn put_each(nats: &Nats, bucket: &str, views: &Views<Users>, n_in_flight: usize) -> anyhow::Result<()> {
    let put = async |(key, view): (&String, &UserView)| {
        let (subject, payload) = (format!("$KV.{bucket}.{key}"), serde_json::to_vec(view)?.into());
        publish(nats, NewMessage { subject, headers: HeaderMap::new(), payload, expected: None }).await?;
        anyhow::Ok(())
    };
    stream::iter(views.iter()).map(put).buffer_unordered(n_in_flight).try_collect::<()>().await
}

/// Running the commands, against reading the events and doing nothing with them.
async fn replay(plan: &Plan, nats: &Nats) -> anyhow::Result<Vec<Comparison>> {
    let (n_users, n_sign_ins) = plan.size((5_000, 7), (20, 1));
    events::fill(nats, n_users, n_sign_ins).await?;
    let log = EventLog::open(nats).await?;
    let n_events = log.head().await?;
    let projections = Projections { nats: nats.clone(), log: log.clone(), replicas: 1 };
    let mut comparisons = vec![];
    for (command, name) in COMMANDS {
        let comparison = Comparison {
            benchmark: BENCHMARK,
            case: format!("{} {} of {n_events} events, or only read", command.name(), name.as_str()),
            unit: Unit::Seconds,
            item: "event",
            rounds: vec![],
        };
        let measure = async |way| {
            let start = Instant::now();
            let n_items = match (way, command) {
                (Way::AsItIs, Command::Rebuild) => rebuild(&projections, name).await?,
                (Way::AsItIs, Command::Verify) => verify(&projections, name).await?,
                (Way::Naive, _) => read(&log, n_events).await?,
            };
            Ok(Done { n_items, cost: start.elapsed().as_secs_f64() })
        };
        comparisons.push(comparison.measure(plan, measure).await?);
    }
    Ok(comparisons)
}

/// Rebuilds a projection. Returns the number of folded events.
async fn rebuild(projections: &Projections, name: ProjectionName) -> anyhow::Result<u64> {
    let rebuilt = projections.rebuild(name, |_, _| {}, &CancellationToken::new()).await?;
    let rebuilt = rebuilt.context("the rebuild was stopped")?;
    ensure!(rebuilt.n_views > 0, "a rebuild of {} wrote no views", rebuilt.projection);
    Ok(rebuilt.sequence)
}

/// Verifies a projection. Returns the number of folded events.
async fn verify(projections: &Projections, name: ProjectionName) -> anyhow::Result<u64> {
    let verified = projections.verify(name, |_, _| {}).await?;
    ensure!(verified.holds(), "{} differs from the folded events", verified.projection);
    Ok(verified.sequence)
}

async fn read(log: &EventLog, until: u64) -> anyhow::Result<u64> {
    let mut messages = log.follow(1);
    let mut n_read = 0;
    loop {
        let message = messages.next().await?;
        n_read += 1;
        if message.sequence >= until {
            return Ok(n_read);
        }
    }
}
