//! The command line.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use runtime::config::{LogFormat, TelemetryConfig};
use runtime::{CancellationToken, telemetry};

use crate::benchmarks::{self, Benchmark};
use crate::compare::Plan;
use crate::{naive, report};

/// Measures what performance rests on, as ratios within one run: this system as it is, against the naive way.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print the result as JSON, with every round.
    #[arg(long, global = true)]
    json: bool,
    /// How many rounds are counted, in each of which both ways are measured.
    #[arg(long, global = true, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure next to nothing, once: shows that a benchmark does its work, and not how fast.
    #[arg(long, global = true)]
    smallest: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Webhooks that wait are stored with one commit, against one publish each.
    Ingress,
    /// Events are framed once and sent in pieces of a ring, against encoding each for every subscriber.
    Feed,
    /// Verified tokens are remembered, against verifying them each time.
    Tokens,
    /// Views are written in batches, against single puts; a rebuild, against reading the events alone.
    Projections,
    /// 32 hints are worked on at once, against one at a time, while authentik takes 20 ms to answer.
    Record,
    /// Memory of a stream that waits for events, against poem's own `SSE`.
    Memory,
    /// All of them.
    All,
    /// The API, as a process that is measured.
    #[command(hide = true)]
    ServeApi(Box<api::Config>),
    /// The naive feed, as a process that is measured.
    #[command(hide = true)]
    ServeNaive(Box<naive::Config>),
}

impl Command {
    fn benchmarks(&self) -> &'static [Benchmark] {
        match self {
            Self::Ingress => &[Benchmark::Ingress],
            Self::Feed => &[Benchmark::Feed],
            Self::Tokens => &[Benchmark::Tokens],
            Self::Projections => &[Benchmark::Projections],
            Self::Record => &[Benchmark::Record],
            Self::Memory => &[Benchmark::Memory],
            Self::All => &Benchmark::ALL,
            Self::ServeApi(_) | Self::ServeNaive(_) => &[],
        }
    }
}

/// Everything that `main` does.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime
        .context("starting the runtime")
        .and_then(|runtime| runtime.block_on(async { Box::pin(execute(cli)).await }));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(cli: Cli) -> anyhow::Result<()> {
    // A server is ended by a kill, so that nothing of its end is measured.
    let shutdown = CancellationToken::new();
    let wanted = cli.command.benchmarks();
    match cli.command {
        Command::ServeApi(config) => {
            telemetry::start(&config.telemetry)?;
            return api::run(*config, shutdown).await;
        }
        Command::ServeNaive(config) => {
            telemetry::start(&config.telemetry)?;
            return naive::serve(*config, shutdown).await;
        }
        _ => {}
    }
    // What goes wrong in the parts that run in this process.
    telemetry::start(&TelemetryConfig { log_format: LogFormat::Text, filter: "warn".to_owned() })?;
    let executable = std::env::current_exe().context("looking for the own executable")?;
    let plan = Plan { rounds: cli.rounds, is_smallest: cli.smallest, executable };
    let mut comparisons = vec![];
    for benchmark in wanted {
        let measured = Box::pin(benchmarks::run(*benchmark, &plan)).await;
        comparisons.extend(measured.with_context(|| format!("benchmark {}", benchmark.name()))?);
    }
    let report = if cli.json { report::json(&comparisons)? } else { report::table(&comparisons) };
    std::io::stdout().write_all(report.as_bytes()).context("printing")
}
