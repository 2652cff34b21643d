//! The command line: runs the service, or a subcommand of an operator.

mod catch_up;
mod doctor;
mod execute;
mod forget;
mod output;
mod progress;
mod text;

use clap::{Args, Parser};
use domain::key::DeliveryId;
use runtime::CancellationToken;

use crate::Config;
use crate::projections::ProjectionName;

/// The projector with its subcommands.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "projector",
    version,
    about = "Records changes in authentik as events and folds projections from them",
    long_about = None
)]
pub struct Cli {
    #[command(flatten)]
    pub config: Config,
    #[command(subcommand)]
    pub subcommand: Option<Subcommand>,
}

/// The subcommands. Options of the projector come before the subcommand.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Subcommand {
    /// Record events and fold projections until a signal stops it. This is the default.
    Run,
    /// Rebuild a projection: fold all events into a new generation and switch readers to it.
    ///
    /// The new generation includes events that are recorded meanwhile. Ctrl-C leaves everything unchanged.
    /// Running projectors and APIs follow the switch; the old generation is deleted after `REBUILD_GRACE`.
    Rebuild {
        /// The projection to rebuild.
        projection: ProjectionName,
        #[command(flatten)]
        format: Format,
    },
    /// Verify a projection: fold all events in memory and compare the result with the stored views.
    ///
    /// Fails if they differ.
    Verify {
        /// The projection to verify.
        projection: ProjectionName,
        #[command(flatten)]
        format: Format,
    },
    /// Erase users and every message that mentions them; only a receipt with the primary key remains.
    ///
    /// Fails if a user still exists in authentik. Repeat it after an interruption. It does not erase from
    /// authentik, from backups, from logs of other systems, or from consumers that have read the events.
    Forget(forget::Forget),
    /// List, show, replay, or drop dead letters: deliveries that no retry can process.
    DeadLetters {
        #[command(subcommand)]
        action: DeadLetters,
    },
    /// Compare all of authentik with the recorded state now, and record the differences.
    ///
    /// It can run beside projectors, which process the deliveries that it adds to the inbox; every change is
    /// recorded once. Ctrl-C keeps what is already recorded. Needs `AUTHENTIK_URL` and `AUTHENTIK_TOKEN`.
    CatchUp(catch_up::CatchUp),
    /// Check the whole installation; each finding says what is wrong and how to fix it.
    ///
    /// Fails if there are findings. A check that cannot be made is skipped with its reason. The doctor
    /// changes nothing; with an administrator's token it makes authentik send one test webhook.
    Doctor(doctor::Doctor),
    /// Show streams, backlog of the inbox, projections with their lag, and the number of dead letters.
    Status {
        #[command(flatten)]
        format: Format,
    },
}

/// The actions on dead letters.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum DeadLetters {
    /// List all dead letters: id, reason, attempts, first and last failure.
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Show one dead letter with headers and payload, which can be personal data.
    Show {
        /// Delivery id of the dead letter.
        id: DeliveryId,
        #[command(flatten)]
        format: Format,
    },
    /// Add a dead letter to the inbox again, as `<id>.replay-<n>`, and remove it from the dead letters.
    Replay {
        /// Delivery id of the dead letter.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<DeliveryId>,
        /// Replay all dead letters that exist now.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Delete a dead letter permanently.
    Drop {
        /// Delivery id of the dead letter.
        id: DeliveryId,
        #[command(flatten)]
        format: Format,
    },
}

/// The output format.
#[derive(Clone, Copy, Debug, Args)]
pub struct Format {
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the service, or executes the subcommand.
pub async fn cli(cli: Cli, shutdown: CancellationToken) -> anyhow::Result<()> {
    let subcommand = match cli.subcommand {
        None | Some(Subcommand::Run) => return crate::run(cli.config, shutdown).await,
        Some(subcommand) => subcommand,
    };
    Box::pin(execute::execute(&cli.config, subcommand, &shutdown)).await
}
