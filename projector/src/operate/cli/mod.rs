//! The command line: the service, and what an operator does beside it.

mod catch_up;
mod doctor;
mod execute;
mod forget;
mod output;
mod progress;
mod text;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use domain::key::DeliveryId;
use runtime::CancellationToken;

use crate::Config;
use crate::erasure::Named;
use crate::projections::ProjectionName;

pub(crate) use execute::connect;

/// The projector with its commands.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "projector",
    version,
    about = "Records what happens in authentik as events, and folds projections from them",
    long_about = None
)]
pub struct Cli {
    #[command(flatten)]
    pub config: Config,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do. Options of the projector come before it.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Record events and fold projections until a signal comes. This is the default.
    Run,
    /// Fold all events into a new generation of a projection, beside the live one, and switch readers to it.
    ///
    /// Events that are recorded meanwhile are in it. Ctrl-C leaves everything as it was. Projectors and APIs that
    /// run follow the switch; the old generation is deleted after `REBUILD_GRACE`.
    Rebuild {
        /// Which projection.
        projection: ProjectionName,
        #[command(flatten)]
        format: Format,
    },
    /// Fold all events in memory, and compare with what readers are served; fails where they differ.
    Verify {
        /// Which projection.
        projection: ProjectionName,
        #[command(flatten)]
        format: Format,
    },
    /// Erase users for good, with everything that mentions them; a receipt with the primary key alone stays.
    ///
    /// Refused while a user exists in authentik. Can be repeated where it was cut off. It does not reach authentik
    /// itself, backups, logs of others, and whoever read the events.
    Forget {
        /// Primary key, uuid, or username as recorded.
        #[arg(required = true, value_name = "USER")]
        users: Vec<Named>,
        /// Do not ask authentik. Who exists there is registered anew, with what is true from then on.
        #[arg(long)]
        force: bool,
        /// How many seconds the inbox may stand still before projectors have worked it off.
        #[arg(long, default_value = "60", value_parser = crate::config::seconds)]
        wait: Duration,
        #[command(flatten)]
        format: Format,
    },
    /// Deliveries that no retry could mend.
    DeadLetters {
        #[command(subcommand)]
        action: DeadLetters,
    },
    /// Compare all of authentik with what is recorded, now, and record what differs.
    ///
    /// Whether projectors run does not matter: what a projector records meanwhile is recorded once. They work off what is
    /// put into the inbox. Ctrl-C leaves what was recorded by then. Needs `AUTHENTIK_URL` and `AUTHENTIK_TOKEN`.
    CatchUp(catch_up::CatchUp),
    /// Look at the whole installation, and name what is wrong with it and how to mend it.
    ///
    /// Fails where anything is found. A check that cannot be made says why, and the next one is made. Changes nothing;
    /// with an administrator's token it has authentik send one test webhook.
    Doctor(doctor::Doctor),
    /// Streams, backlog of the inbox, projections and their lag, number of dead letters.
    Status {
        #[command(flatten)]
        format: Format,
    },
}

/// What to do with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum DeadLetters {
    /// All of them: id, reason, attempts, first and last failure.
    List {
        #[command(flatten)]
        format: Format,
    },
    /// One with headers and content, which can be personal data.
    Show {
        /// Delivery id of the dead letter.
        id: DeliveryId,
        #[command(flatten)]
        format: Format,
    },
    /// Put into the inbox again, as `<id>.replay-<n>`, and remove from the dead letters.
    Replay {
        /// Delivery id of the dead letter.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<DeliveryId>,
        /// All that are there now.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Delete for good.
    Drop {
        /// Delivery id of the dead letter.
        id: DeliveryId,
        #[command(flatten)]
        format: Format,
    },
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, Args)]
pub struct Format {
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Does what the command line asks for.
pub async fn cli(cli: Cli, shutdown: CancellationToken) -> anyhow::Result<()> {
    let command = match cli.command {
        None | Some(Command::Run) => return crate::run(cli.config, shutdown).await,
        Some(command) => command,
    };
    Box::pin(execute::execute(&cli.config, command, &shutdown)).await
}
