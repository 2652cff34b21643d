//! `projector forget`.

use std::time::Duration;

use anyhow::Context;
use runtime::CancellationToken;

use super::output::Output;
use super::progress::Progress;
use super::text;
use crate::Config;
use crate::directory::AuthentikDirectory;
use crate::erasure::{Eraser, Named, Stage};
use crate::projections::Projections;

/// What the command line says of an erasure.
pub(super) struct Forget {
    pub(super) users: Vec<Named>,
    pub(super) force: bool,
    pub(super) patience: Duration,
}

pub(super) async fn forget(
    config: &Config,
    projections: Projections,
    forget: Forget,
    output: &Output,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    // A missing setting is told before anything is read.
    let directory = if forget.force { None } else { Some(AuthentikDirectory::new(config)?) };
    let prepared = async {
        let eraser = Eraser::open(projections, config.public_url.clone(), forget.patience).await?;
        let pks = eraser.find(&forget.users).await?;
        if let Some(directory) = &directory {
            let checked = eraser.check_gone(directory, &pks).await;
            checked.context("nothing was erased (`--force` does not ask authentik)")?;
        }
        anyhow::Ok((eraser, pks))
    };
    let prepared = shutdown.run_until_cancelled(Box::pin(prepared)).await;
    let (eraser, pks) = prepared.context("stopped by a signal: nothing was erased")??;
    let mut shown: Option<(Stage, Progress)> = None;
    let progress = |stage: Stage, done: u64, of: u64| {
        if shown.as_ref().is_none_or(|(before, _)| *before != stage) {
            shown = None;
        }
        let (_, progress) = shown.get_or_insert_with(|| (stage, Progress::new(text::stage(stage))));
        progress.at(done, of);
    };
    let result = eraser.erase(&pks, progress, shutdown).await;
    drop(shown);
    output.print(&result?, text::erased)
}
