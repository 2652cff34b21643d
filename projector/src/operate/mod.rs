//! What an operator does with a projector's binary besides running it.

mod dead_letters;
mod status;
mod verify;

use std::io::Write;

use anyhow::Context;
use clap::{Parser, Subcommand};
use runtime::config::{NatsConfig, TelemetryConfig};
use runtime::health::Health;
use runtime::nats::Nats;
use runtime::{CancellationToken, clock};
use serde::Serialize;

use crate::guard;

/// Sees and steers what the projectors do. Without a command, `projector` runs one.
#[derive(Clone, Debug, Parser)]
#[command(name = "projector", version)]
pub struct Operate {
    #[command(flatten)]
    nats: NatsConfig,
    /// Logging.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Lags, sizes, last sweep, dead letters.
    Status,
    /// Confirms that so many more users may be recorded as deleted, from now on.
    CatchUp {
        /// How many; the brake stays on beyond that.
        #[arg(long)]
        allow_deletions: u64,
    },
    /// Folds a projection anew in memory and compares it with the stored one. Exit status 1 where they differ.
    Verify {
        /// Which.
        #[arg(value_enum)]
        projection: verify::Name,
    },
    /// Deliveries that no retry can mend.
    DeadLetters {
        #[command(subcommand)]
        action: dead_letters::Action,
    },
}

impl Operate {
    /// Whether these arguments name a command of an operator.
    pub fn is_meant_by(arguments: impl IntoIterator<Item = String>) -> bool {
        let commands = ["status", "catch-up", "verify", "dead-letters", "help"];
        arguments.into_iter().skip(1).any(|argument| commands.contains(&argument.as_str()))
    }

    /// Carries out the command.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let health = Health::default();
        let nats = Nats::connect(&self.nats, "projector-operate", &health).await?;
        let output = Output { json: self.json };
        let ready = async {
            nats.wait_for_streams(&health, &shutdown).await?;
            self.command.run(&nats, &output).await
        };
        shutdown.run_until_cancelled(Box::pin(ready)).await.unwrap_or_else(|| anyhow::bail!("stopped"))
    }
}

impl Command {
    async fn run(self, nats: &Nats, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Status => status::show(nats, output).await,
            Self::CatchUp { allow_deletions } => {
                guard::allow_deletions(nats, allow_deletions, clock::now()).await?;
                output.say(&format!("{allow_deletions} more users may be recorded as deleted from now on"))
            }
            Self::Verify { projection } => verify::verify(nats, projection, output).await,
            Self::DeadLetters { action } => action.run(nats, output).await,
        }
    }
}

/// Where results go: standard output, as text or JSON.
struct Output {
    json: bool,
}

impl Output {
    /// A line for people; as JSON, a string.
    fn say(&self, text: &str) -> anyhow::Result<()> {
        if self.json { self.line(&serde_json::to_string(text)?) } else { self.line(text) }
    }

    /// A value: as JSON, or as the text that is given for people.
    fn show(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json { self.line(&serde_json::to_string_pretty(value)?) } else { self.line(&text()) }
    }

    #[expect(clippy::unused_self, reason = "reads as what it is: a line of this output")]
    fn line(&self, text: &str) -> anyhow::Result<()> {
        writeln!(std::io::stdout().lock(), "{text}").context("writing to standard output")
    }
}
