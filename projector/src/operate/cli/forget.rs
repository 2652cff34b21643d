//! `projector forget`.

use std::time::Duration;

use anyhow::Context;
use runtime::CancellationToken;

use super::progress::StagedProgress;
use super::{Format, text};
use crate::Config;
use crate::directory::AuthentikDirectory;
use crate::erasure::{Eraser, UserSelector};
use crate::projections::Projections;

/// The arguments of the subcommand.
pub(super) struct Forget {
    pub(super) users: Vec<UserSelector>,
    pub(super) force: bool,
    pub(super) max_inbox_idle: Duration,
}

pub(super) async fn forget(
    config: &Config,
    projections: Projections,
    forget: Forget,
    format: Format,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    // Report a missing setting before reading anything.
    let directory = if forget.force { None } else { Some(AuthentikDirectory::new(config)?) };
    let prepared = async {
        let eraser = Eraser::open(projections, config.public_url.clone(), forget.max_inbox_idle).await?;
        let pks = eraser.find(&forget.users).await?;
        if let Some(directory) = &directory {
            let checked = eraser.check_gone(directory, &pks).await;
            checked.context("nothing was erased (`--force` skips the check in authentik)")?;
        }
        anyhow::Ok((eraser, pks))
    };
    let prepared = shutdown.run_until_cancelled(Box::pin(prepared)).await;
    let (eraser, pks) = prepared.context("stopped by a signal: nothing was erased")??;
    let mut progress = StagedProgress::default();
    let result =
        eraser.erase(&pks, |stage, done, of| progress.set(stage, text::stage, done, of), shutdown).await;
    drop(progress);
    format.print(&result?, text::erased)
}
