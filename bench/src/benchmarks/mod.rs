//! What is measured.

mod feed;
mod ingress;
mod memory;
mod projections;
mod record;
mod tokens;

use crate::compare::{Comparison, Plan};

/// One of the things that performance rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Benchmark {
    /// Webhooks into the inbox.
    Ingress,
    /// Events to subscribers.
    Feed,
    /// Callers of the API.
    Tokens,
    /// Views into buckets.
    Projections,
    /// Hints to events.
    Record,
    /// Streams that wait.
    Memory,
}

impl Benchmark {
    /// In the order of the README.
    pub const ALL: [Self; 6] =
        [Self::Ingress, Self::Feed, Self::Tokens, Self::Projections, Self::Record, Self::Memory];

    /// As on the command line.
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

/// Measures.
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
