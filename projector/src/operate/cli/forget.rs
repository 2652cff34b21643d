//! `projector forget`.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use runtime::CancellationToken;

use super::progress::StagedProgress;
use super::{Format, text};
use crate::Config;
use crate::directory::AuthentikDirectory;
use crate::erasure::{Eraser, UserSelector};
use crate::projections::Projections;

/// The arguments of the subcommand.
#[derive(Clone, Debug, Args)]
pub struct Forget {
    /// Primary key, uuid, or recorded username of a user to erase.
    #[arg(required = true, value_name = "USER")]
    users: Vec<UserSelector>,
    /// Do not check that the users are deleted in authentik. Users that still exist are registered again.
    #[arg(long)]
    force: bool,
    /// Seconds to wait for the projectors to make progress with the inbox before giving up.
    #[arg(long, default_value = "60", value_parser = crate::config::seconds)]
    wait: Duration,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn forget(
    config: &Config,
    projections: Projections,
    request: Forget,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    // Report a missing setting before reading anything.
    let directory = if request.force { None } else { Some(AuthentikDirectory::new(config)?) };
    let prepared = async {
        let eraser = Eraser::open(projections, config.public_url.clone(), request.wait).await?;
        let pks = eraser.find(&request.users).await?;
        if let Some(directory) = &directory {
            let checked = eraser.check_gone(directory, &pks).await;
            checked.context("nothing was erased (`--force` skips the check in authentik)")?;
        }
        anyhow::Ok((eraser, pks))
    };
    let prepared = shutdown.run_until_cancelled(Box::pin(prepared)).await;
    let (eraser, pks) = prepared.context("stopped by a signal: nothing was erased")??;
    let mut progress = StagedProgress::new();
    let result =
        eraser.erase(&pks, |stage, done, of| progress.set(stage, text::stage, done, of), shutdown).await;
    drop(progress);
    request.format.print(&result?, text::erased)
}
