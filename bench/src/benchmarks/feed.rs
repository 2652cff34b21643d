//! Framing each event once and sending pieces of a ring buffer, against encoding it for every subscriber.

use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, ensure};
use runtime::nats::Nats;
use store::log::EventLog;
use testkit::NatsServer;

use crate::compare::{Comparison, Done, Plan, Unit, Way};
use crate::events;
use crate::hosts::{self, Authentik};
use crate::server::Server;
use crate::subscribers::Subscribers;

/// How events are appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Each event after all subscribers have received the one before.
    OneByOne,
    /// All events in one commit.
    Together,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    n_subscribers: usize,
    n_events: usize,
    pace: Pace,
}

impl Case {
    const fn new(n_subscribers: usize, n_events: usize, pace: Pace) -> Self {
        Self { n_subscribers, n_events, pace }
    }

    fn name(self) -> String {
        let Self { n_subscribers, n_events, pace } = self;
        let pace = match pace {
            Pace::OneByOne => "one by one",
            Pace::Together => "together",
        };
        format!("{n_events} events {pace}, subscribers: {n_subscribers}")
    }
}

const CASES: [Case; 6] = [
    Case::new(1, 500, Pace::OneByOne),
    Case::new(100, 200, Pace::OneByOne),
    Case::new(1_000, 50, Pace::OneByOne),
    Case::new(1, 1_000, Pace::Together),
    Case::new(100, 1_000, Pace::Together),
    Case::new(1_000, 200, Pace::Together),
];
const SMALLEST: [Case; 2] = [Case::new(3, 2, Pace::OneByOne), Case::new(3, 20, Pace::Together)];

struct World {
    _nats_server: NatsServer,
    _nats: Nats,
    _authentik: Authentik,
    log: EventLog,
    token: String,
    as_it_is: Server,
    naive: Server,
    /// Primary key of the next user.
    next: AtomicI64,
}

pub async fn run(plan: &Plan) -> anyhow::Result<Vec<Comparison>> {
    let world = World::start(plan).await?;
    let cases = plan.size(&CASES[..], &SMALLEST[..]);
    let mut comparisons = vec![];
    for case in cases {
        let comparison = Comparison {
            benchmark: "feed",
            case: case.name(),
            unit: Unit::CpuSeconds,
            item: "event and subscriber",
            rounds: vec![],
        };
        comparisons.push(comparison.measure(plan, async |way| world.measure(way, *case).await).await?);
    }
    Ok(comparisons)
}

impl World {
    async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let (server, nats) = hosts::nats().await;
        let authentik = Authentik::start().await?;
        let issuer = authentik.issuer();
        Ok(Self {
            log: EventLog::open(&nats).await?,
            token: authentik.token().await,
            as_it_is: Server::start(plan, Way::AsItIs, &server.url(), &issuer).await?,
            naive: Server::start(plan, Way::Naive, &server.url(), &issuer).await?,
            next: AtomicI64::new(1),
            _nats_server: server,
            _nats: nats,
            _authentik: authentik,
        })
    }

    /// The server's CPU time from the append until all subscribers have received the events.
    async fn measure(&self, way: Way, case: Case) -> anyhow::Result<Done> {
        let server = if way == Way::AsItIs { &self.as_it_is } else { &self.naive };
        let head = self.log.head().await?;
        if head > 0 {
            server.wait_until_seen(head).await;
        }
        let mut subscribers = Subscribers::connect(&server.url, &self.token, case.n_subscribers).await?;
        let start = server.cpu_seconds()?;
        let n_received = match case.pace {
            Pace::OneByOne => {
                let mut n_received = 0;
                for _ in 0..case.n_events {
                    n_received += self.append(&mut subscribers, 1).await?;
                }
                n_received
            }
            Pace::Together => self.append(&mut subscribers, case.n_events).await?,
        };
        let cost = server.cpu_seconds()? - start;
        Ok(Done { n_items: u64::try_from(n_received)?, cost })
    }

    /// Appends events in one commit and waits until all subscribers have received them.
    async fn append(&self, subscribers: &mut Subscribers, n_events: usize) -> anyhow::Result<usize> {
        let first = self.next.fetch_add(i64::try_from(n_events)?, Ordering::Relaxed);
        let events: Vec<_> = (first..).take(n_events).map(events::registered).collect();
        let (received, stored) = tokio::join!(subscribers.receive(n_events), self.log.append_firsts(&events));
        stored.context("appending events")?;
        let received = received?;
        ensure!(received == n_events * subscribers.len(), "a subscriber missed events");
        Ok(received)
    }
}
