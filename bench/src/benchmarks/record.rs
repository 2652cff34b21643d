//! Processing 32 hints at once, against one at a time, with an authentik that takes 20 ms to answer.

use std::time::Instant;

use anyhow::{Context, ensure};
use async_nats::HeaderMap;
use clap::Parser;
use domain::event::Channel;
use domain::hint::InternalHint;
use domain::key::{Entity, UserPk};
use projector::Config;
use runtime::nats::Nats;
use runtime::{CancellationToken, clock};
use store::log::EventLog;
use store::publish::{NewMessage, publish_batch};
use testkit::{eventually, free_port};

use crate::compare::{Comparison, Done, Plan, Unit, Way};
use crate::hosts::{self, Authentik};

/// Milliseconds that authentik takes for each answer.
const DELAY: u64 = 20;

/// The default of `PROJECTOR_CONCURRENCY`.
const CONCURRENCY: u16 = 32;

pub async fn run(plan: &Plan) -> anyhow::Result<Vec<Comparison>> {
    let (server, nats) = hosts::nats().await;
    let authentik = Authentik::start().await?;
    let n_users = plan.size(128, 4);
    let comparison = Comparison {
        benchmark: "record",
        case: format!("{n_users} users, {CONCURRENCY} or 1 at once"),
        unit: Unit::Seconds,
        item: "user",
        rounds: vec![],
    };
    let measure = async |way| {
        let concurrency = if way == Way::AsItIs { CONCURRENCY } else { 1 };
        let users = create_users(&authentik, n_users).await;
        authentik.delay(DELAY).await;
        let shutdown = CancellationToken::new();
        let projector = projector(&server.url(), &authentik, concurrency, &shutdown).await?;
        let done = record(&nats, &users).await?;
        testkit::nats::inbox_is_drained(&nats).await;
        shutdown.cancel();
        projector.await.context("the projector panicked")??;
        authentik.delay(0).await;
        Ok(done)
    };
    Ok(vec![comparison.measure(plan, measure).await?])
}

async fn create_users(authentik: &Authentik, n_users: usize) -> Vec<UserPk> {
    let mut users = vec![];
    for _ in 0..n_users {
        users.push(authentik.admin.create_user(&clock::new_id().simple().to_string()).await);
    }
    users
}

async fn projector(
    nats_url: &str,
    authentik: &Authentik,
    concurrency: u16,
    shutdown: &CancellationToken,
) -> anyhow::Result<tokio::task::JoinHandle<anyhow::Result<()>>> {
    let address = format!("127.0.0.1:{}", free_port());
    let flags = [
        "projector".to_owned(),
        format!("--nats-url={nats_url}"),
        format!("--projector-listen={address}"),
        format!("--projector-concurrency={concurrency}"),
        "--sweep-interval=0".to_owned(),
    ];
    let config = Config::try_parse_from(flags.into_iter().chain(authentik.reader_flags()));
    let running =
        tokio::spawn(projector::run(config.context("parsing the projector's options")?, shutdown.clone()));
    eventually("the projector is ready", || async {
        let answer = reqwest::get(format!("http://{address}/readyz")).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    Ok(running)
}

/// Puts a hint about each user into the inbox, all with one commit, and waits until each user is recorded.
async fn record(nats: &Nats, users: &[UserPk]) -> anyhow::Result<Done> {
    let log = EventLog::open(nats).await?;
    let mut events = log.follow(log.head().await? + 1);
    let hints = users.iter().map(|user| {
        let mut headers = HeaderMap::new();
        headers.insert(store::inbox::CHANNEL, Channel::Api.as_str());
        let subject = nats.namespace.inbox_subject(&clock::new_id().into());
        let payload = serde_json::to_vec(&InternalHint::about_user(*user, "resync", None))?.into();
        anyhow::Ok(NewMessage { subject, headers, payload, expected: None })
    });
    let hints = hints.collect::<anyhow::Result<Vec<_>>>()?;
    let batch = clock::new_id().simple().to_string();
    let start = Instant::now();
    publish_batch(nats, &batch, hints).await.context("putting hints into the inbox")?;
    let mut n_recorded = 0;
    while n_recorded < users.len() {
        let event = events.next().await?.decode().context("reading an event")?.event;
        ensure!(users.iter().any(|user| event.subject == Entity::User(*user)), "another user was recorded");
        n_recorded += 1;
    }
    Ok(Done { n_items: u64::try_from(n_recorded)?, cost: start.elapsed().as_secs_f64() })
}
