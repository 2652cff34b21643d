//! The benchmarks. Each compares this system with a naive way to do the same.

mod feed;
mod ingress;
mod memory;
mod projections;
mod record;
mod tokens;

use crate::compare::{Comparison, Plan};

/// One benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Benchmark {
    /// Storing webhooks in the inbox.
    Ingress,
    /// Sending events to subscribers.
    Feed,
    /// Verifying tokens of API requests.
    Tokens,
    /// Writing views into buckets, and replaying events.
    Projections,
    /// Turning hints into events.
    Record,
    /// Memory of idle streams.
    Memory,
}

impl Benchmark {
    /// All benchmarks in the order of the README.
    pub const ALL: [Self; 6] =
        [Self::Ingress, Self::Feed, Self::Tokens, Self::Projections, Self::Record, Self::Memory];

    /// Name of the benchmark and of its command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Feed => "feed",
            Self::Tokens => "tokens",
            Self::Projections => "projections",
            Self::Record => "record",
            Self::Memory => "memory",
        }
    }
}

/// Runs a benchmark.
pub async fn run(benchmark: Benchmark, plan: &Plan) -> anyhow::Result<Vec<Comparison>> {
    match benchmark {
        Benchmark::Ingress => Box::pin(ingress::run(plan)).await,
        Benchmark::Feed => Box::pin(feed::run(plan)).await,
        Benchmark::Tokens => Box::pin(tokens::run(plan)).await,
        Benchmark::Projections => Box::pin(projections::run(plan)).await,
        Benchmark::Record => Box::pin(record::run(plan)).await,
        Benchmark::Memory => Box::pin(memory::run(plan)).await,
    }
}
