//! The command-line interface.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use runtime::config::{LogFormat, TelemetryConfig};
use runtime::{CancellationToken, telemetry};

use crate::benchmarks::{self, Benchmark};
use crate::compare::Plan;
use crate::server::ServerConfig;
use crate::{naive, reference, report};

/// Benchmarks this system as it is against naive designs. Results are ratios of costs within one run.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print the result as JSON, with every round.
    #[arg(long, global = true)]
    json: bool,
    /// Number of rounds. Each round measures both ways.
    #[arg(long, global = true, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Run once with minimal sizes: shows that the benchmarks work, not how fast the system is.
    #[arg(long, global = true)]
    smallest: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Storing webhooks, against a bare server that verifies nothing and publishes each alone.
    Ingress,
    /// Framing each event once and sending pieces of a ring buffer, against encoding it for every subscriber.
    Feed,
    /// Caching verified tokens, against verifying each token again.
    Tokens,
    /// Writing views in batches, against single puts; replaying all events, against only reading them.
    Projections,
    /// Processing 32 hints at once, against one at a time, with an authentik that takes 20 ms to answer.
    Record,
    /// Memory of an idle stream, against poem's own `SSE`.
    Memory,
    /// All benchmarks.
    All,
    /// Run the API as a measured process.
    #[command(hide = true)]
    ServeApi(Box<api::Config>),
    /// Run the ingress as a measured process.
    #[command(hide = true)]
    ServeIngress(Box<ingress::Config>),
    /// Run the reference for the ingress as a measured process.
    #[command(hide = true)]
    ServeReference(Box<ServerConfig>),
    /// Run the naive feed as a measured process.
    #[command(hide = true)]
    ServeNaive(Box<ServerConfig>),
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
            Self::ServeApi(_) | Self::ServeIngress(_) | Self::ServeReference(_) | Self::ServeNaive(_) => &[],
        }
    }
}

/// Parses the command line and executes its command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime
        .context("starting the runtime")
        .and_then(|runtime| runtime.block_on(async { Box::pin(execute(cli)).await }));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, there is no way to report this.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(cli: Cli) -> anyhow::Result<()> {
    // Servers are killed instead of shut down, so this is never cancelled.
    let shutdown = CancellationToken::new();
    let selected = cli.command.benchmarks();
    match cli.command {
        Command::ServeApi(config) => {
            telemetry::start(&config.telemetry)?;
            return api::run(*config, shutdown).await;
        }
        Command::ServeIngress(config) => {
            telemetry::start(&config.telemetry)?;
            return ingress::run(*config, shutdown).await;
        }
        Command::ServeReference(config) => {
            telemetry::start(&config.telemetry)?;
            return reference::serve(*config).await;
        }
        Command::ServeNaive(config) => {
            telemetry::start(&config.telemetry)?;
            return naive::serve(*config, shutdown).await;
        }
        _ => {}
    }
    // Logs warnings of the parts that run in this process.
    telemetry::start(&TelemetryConfig { log_format: LogFormat::Text, filter: "warn".to_owned() })?;
    let executable = std::env::current_exe().context("finding the path of this executable")?;
    let plan = Plan { rounds: cli.rounds, is_smallest: cli.smallest, executable };
    let mut comparisons = vec![];
    for benchmark in selected {
        let results = Box::pin(benchmarks::run(*benchmark, &plan)).await;
        comparisons.extend(results.with_context(|| format!("benchmark {}", benchmark.name()))?);
    }
    let report = if cli.json { report::json(&comparisons)? } else { report::table(&comparisons) };
    std::io::stdout().write_all(report.as_bytes()).context("printing the report")
}
