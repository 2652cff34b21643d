//! Executes the subcommands of the command line.

use anyhow::{Context, ensure};
use domain::key::DeliveryId;
use runtime::nats::Nats;
use runtime::{CancellationToken, program};
use store::log::EventLog;

use super::catch_up::catch_up;
use super::doctor::doctor;
use super::forget::forget;
use super::progress::ProgressBar;
use super::{DeadLetters, Format, Subcommand, text};
use crate::Config;
use crate::connect::connect;
use crate::dead_letters::{self, DeadLetterError};
use crate::operate::status;
use crate::projections::{ProjectionName, Projections};

pub(super) async fn execute(
    config: &Config,
    subcommand: Subcommand,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    // The doctor also runs without a connection, to diagnose why there is none.
    if let Subcommand::Doctor(request) = subcommand {
        return Box::pin(doctor(config, request, shutdown)).await;
    }
    let nats = connect(config).await?;
    // The next three clean up after a shutdown signal; the others are cancelled at any point.
    if let Subcommand::Rebuild { projection, format } = subcommand {
        let rebuilding = async { rebuild(&open(config, nats).await?, projection, format, shutdown).await };
        let rebuilt = program::within_grace(Box::pin(rebuilding), shutdown).await;
        return rebuilt
            .context("NATS does not answer: the next rebuild deletes the unfinished generation")?;
    }
    if let Subcommand::Forget(request) = subcommand {
        return Box::pin(forget(config, open(config, nats).await?, request, shutdown)).await;
    }
    if let Subcommand::CatchUp(request) = subcommand {
        return Box::pin(catch_up(config, open(config, nats).await?, request, shutdown)).await;
    }
    let executed = shutdown.run_until_cancelled(Box::pin(execute_cancellable(config, subcommand, nats)));
    executed.await.context("stopped by a signal")?
}

async fn execute_cancellable(config: &Config, subcommand: Subcommand, nats: Nats) -> anyhow::Result<()> {
    match subcommand {
        Subcommand::Run
        | Subcommand::Rebuild { .. }
        | Subcommand::Forget(_)
        | Subcommand::CatchUp(_)
        | Subcommand::Doctor(_) => Ok(()),
        Subcommand::Verify { projection, format } => {
            verify(&open(config, nats).await?, projection, format).await
        }
        Subcommand::Status { format } => {
            let status = status::status(&open(config, nats).await?).await?;
            format.print(&status, text::status)
        }
        Subcommand::DeadLetters { action } => dead_letters(&nats, action).await,
    }
}

async fn open(config: &Config, nats: Nats) -> anyhow::Result<Projections> {
    let log = EventLog::open(&nats).await;
    let log = log.context("cannot open the event log: start a projector, which creates the streams")?;
    Ok(Projections { nats, log, replicas: config.nats_replicas })
}

async fn rebuild(
    projections: &Projections,
    name: ProjectionName,
    format: Format,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut progress = ProgressBar::new(format!("folding {}", name.as_str()));
    let rebuilt = projections.rebuild(name, |done, of| progress.set(done, of), shutdown).await;
    drop(progress);
    let rebuilt = rebuilt?.context("cancelled: readers still use the old generation")?;
    format.print(&rebuilt, text::rebuilt)
}

async fn verify(projections: &Projections, name: ProjectionName, format: Format) -> anyhow::Result<()> {
    let mut progress = ProgressBar::new(format!("folding {}", name.as_str()));
    let verified = projections.verify(name, |done, of| progress.set(done, of)).await;
    drop(progress);
    let verified = verified?;
    format.print(&verified, text::verified)?;
    let name = name.as_str();
    ensure!(verified.holds(), "{name} differs from its events: rebuild it with `projector rebuild {name}`");
    Ok(())
}

async fn dead_letters(nats: &Nats, action: DeadLetters) -> anyhow::Result<()> {
    match action {
        DeadLetters::List { format } => {
            let letters = dead_letters::list(nats).await?;
            format.print(&letters, |letters| text::letters(letters))
        }
        DeadLetters::Show { id, format } => {
            let letter = dead_letters::show(nats, &id).await?;
            format.print(&letter.content(), |_| text::letter(&letter))
        }
        DeadLetters::Replay { id, all: _, format } => {
            let ids = match id {
                Some(id) => vec![id],
                None => dead_letters::list(nats).await?.into_iter().map(|letter| letter.id).collect(),
            };
            replay(nats, &ids, format).await
        }
        DeadLetters::Drop { id, format } => {
            let letter = dead_letters::drop(nats, &id).await?.letter;
            format
                .print(&letter, |letter| format!("dropped {}; its reason was: {}", letter.id, letter.reason))
        }
    }
}

async fn replay(nats: &Nats, ids: &[DeliveryId], format: Format) -> anyhow::Result<()> {
    let mut progress = ProgressBar::new("replaying".to_owned());
    let mut replayed = vec![];
    let mut failed = None;
    for id in ids {
        match dead_letters::replay(nats, id, None).await {
            Ok(one) => replayed.push(one),
            // Another process replayed or dropped it after it was listed.
            Err(DeadLetterError::Unknown(_)) if ids.len() > 1 => {}
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        progress.set(replayed.len() as u64, ids.len() as u64);
    }
    drop(progress);
    // Print the completed replays even if a later one failed.
    if !replayed.is_empty() || failed.is_none() {
        format.print(&replayed, |replayed| text::replayed(replayed))?;
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
