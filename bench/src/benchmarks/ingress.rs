//! Storing webhooks, against a bare server that publishes each alone.

use anyhow::Context;
use async_nats::jetstream::stream::Stream;
use runtime::nats::Nats;
use testkit::NatsServer;

use crate::compare::{Comparison, Done, Plan, Unit, Way};
use crate::hosts;
use crate::load::Webhooks;
use crate::server::Server;

/// Number of concurrent webhooks, and of all webhooks. authentik sends 2 at once by default.
const SYNCED: [(usize, usize); 3] = [(2, 500), (32, 3_000), (256, 6_000)];
const UNSYNCED: [(usize, usize); 3] = [(2, 2_000), (64, 20_000), (256, 20_000)];
const SMALLEST: [(usize, usize); 3] = [(2, 4), (64, 128), (256, 512)];

/// Webhooks per second at a constant rate, and the number of all of them.
const RATE: u32 = 1_000;
const N_AT_RATE: usize = 5_000;

pub async fn run(plan: &Plan) -> anyhow::Result<Vec<Comparison>> {
    let mut comparisons = vec![];
    let synced = Hosts::start(plan, hosts::nats().await).await?;
    for (n_at_once, n_webhooks) in plan.size(SYNCED, SMALLEST) {
        comparisons.push(synced.throughput(plan, "sync always", n_at_once, n_webhooks).await?);
    }
    let unsynced = Hosts::start(plan, hosts::unsynced_nats().await).await?;
    for (n_at_once, n_webhooks) in plan.size(UNSYNCED, SMALLEST) {
        comparisons.push(unsynced.throughput(plan, "default sync", n_at_once, n_webhooks).await?);
    }
    for unit in [Unit::Seconds, Unit::CpuSeconds] {
        comparisons.push(unsynced.at_rate(plan, unit).await?);
    }
    Ok(comparisons)
}

/// Both servers with their NATS.
struct Hosts {
    _nats: (NatsServer, Nats),
    inbox: Stream,
    as_it_is: Server,
    naive: Server,
}

impl Hosts {
    async fn start(plan: &Plan, nats: (NatsServer, Nats)) -> anyhow::Result<Self> {
        let url = nats.0.url();
        let inbox = nats.1.jetstream.get_stream(nats.1.namespace.inbox_stream()).await;
        Ok(Self {
            inbox: inbox.context("opening the inbox")?,
            as_it_is: Server::ingress(plan, Way::AsItIs, &url).await?,
            naive: Server::ingress(plan, Way::Naive, &url).await?,
            _nats: nats,
        })
    }

    fn server(&self, way: Way) -> &Server {
        if way == Way::AsItIs { &self.as_it_is } else { &self.naive }
    }

    async fn throughput(
        &self,
        plan: &Plan,
        sync: &str,
        n_at_once: usize,
        n_webhooks: usize,
    ) -> anyhow::Result<Comparison> {
        let measure = async |way| {
            self.inbox.purge().await.context("emptying the inbox")?;
            let webhooks = Webhooks::new(n_webhooks)?;
            let cost = webhooks.deliver(&self.server(way).address, n_at_once).await?;
            Ok(Done { n_items: self.n_stored().await?, cost })
        };
        comparison(format!("{sync}, {n_at_once} webhooks at once"), Unit::Seconds)
            .measure(plan, measure)
            .await
    }

    /// Compares the 99th percentile of the elapsed times, or the CPU times, at a constant rate.
    async fn at_rate(&self, plan: &Plan, unit: Unit) -> anyhow::Result<Comparison> {
        let n_webhooks = plan.size(N_AT_RATE, 100);
        let measure = async |way| {
            self.inbox.purge().await.context("emptying the inbox")?;
            let (webhooks, server) = (Webhooks::new(n_webhooks)?, self.server(way));
            let start = server.cpu_seconds()?;
            let mut durations = webhooks.deliver_at(&server.address, RATE).await?;
            let cpu_seconds = server.cpu_seconds()? - start;
            durations.sort_by(f64::total_cmp);
            let n_items = self.n_stored().await?;
            #[expect(clippy::cast_precision_loss, reason = "there are a few thousand webhooks")]
            let of_all = durations[n_webhooks * 99 / 100] * n_items as f64;
            Ok(Done { n_items, cost: if unit == Unit::CpuSeconds { cpu_seconds } else { of_all } })
        };
        let what = if unit == Unit::CpuSeconds { "CPU" } else { "99th percentile" };
        comparison(format!("default sync, {RATE} webhooks per second, {what}"), unit)
            .measure(plan, measure)
            .await
    }

    async fn n_stored(&self) -> anyhow::Result<u64> {
        Ok(self.inbox.get_info().await.context("counting the stored webhooks")?.state.messages)
    }
}

fn comparison(case: String, unit: Unit) -> Comparison {
    Comparison { benchmark: "ingress", case, unit, item: "webhook", rounds: vec![] }
}
