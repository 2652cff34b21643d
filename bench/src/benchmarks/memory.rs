//! Memory of an idle stream, against poem's own `SSE`.

use crate::compare::{Comparison, Done, Plan, Unit, Way};
use crate::hosts::{self, Authentik};
use crate::server::Server;
use crate::subscribers::Subscribers;

/// Streams opened before the measurement, so that memory that is allocated only once does not count.
const FIRST: usize = 10;

pub async fn run(plan: &Plan) -> anyhow::Result<Vec<Comparison>> {
    let (server, _nats) = hosts::nats().await;
    let authentik = Authentik::start().await?;
    let token = authentik.token().await;
    let n_streams = plan.size(1_000, 100);
    let comparison = Comparison {
        benchmark: "memory",
        case: format!("{n_streams} idle streams"),
        unit: Unit::Kilobytes,
        item: "stream",
        rounds: vec![],
    };
    let measure = async |way: Way| {
        // A new process for each round, because a process reuses freed memory.
        let server = Server::start(plan, way, &server.url(), &authentik.issuer()).await?;
        let _first = Subscribers::connect(&server.url, &token, FIRST).await?;
        let before = server.resident_kb()?;
        let streams = Subscribers::connect(&server.url, &token, n_streams).await?;
        Ok(Done { n_items: u64::try_from(streams.len())?, cost: server.resident_kb()? - before })
    };
    Ok(vec![comparison.measure(plan, measure).await?])
}
