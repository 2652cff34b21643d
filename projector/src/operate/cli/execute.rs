//! Carries out the commands of an operator.

use std::time::Duration;

use anyhow::{Context, ensure};
use domain::key::DeliveryId;
use runtime::CancellationToken;
use runtime::health::Health;
use runtime::nats::Nats;
use runtime::program;
use store::log::EventLog;

use super::catch_up::catch_up;
use super::doctor::doctor;
use super::forget::{self, Forget};
use super::output::Output;
use super::progress::Progress;
use super::{Command, DeadLetters, text};
use crate::Config;
use crate::dead_letters::{self, DeadLetterError};
use crate::operate::status;
use crate::projections::{ProjectionName, Projections};

/// How long a command waits for the server.
const CONNECT: Duration = Duration::from_secs(5);

pub(super) async fn execute(
    config: &Config,
    command: Command,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    // NATS may be what is wrong.
    if let Command::Doctor(request) = command {
        return Box::pin(doctor(config, request, shutdown)).await;
    }
    let nats = connect(config).await?;
    // These have something to put away when they are told to stop; the others are just left.
    if let Command::Rebuild { projection, format } = command {
        let rebuilding = async {
            rebuild(&open(config, nats).await?, projection, Output { json: format.json }, shutdown).await
        };
        let rebuilt = program::within_grace(Box::pin(rebuilding), shutdown).await;
        return rebuilt.context("NATS does not answer: what was begun is deleted by the next rebuild")?;
    }
    // What an erasure left to do is told by itself.
    if let Command::Forget { users, force, wait, format } = command {
        let forget = Forget { users, force, patience: wait };
        let (projections, output) = (open(config, nats).await?, Output { json: format.json });
        return Box::pin(forget::forget(config, projections, forget, &output, shutdown)).await;
    }
    if let Command::CatchUp(request) = command {
        return Box::pin(catch_up(config, open(config, nats).await?, request, shutdown)).await;
    }
    let executed = shutdown.run_until_cancelled(Box::pin(execute_until_told(config, command, nats)));
    executed.await.context("stopped by a signal")?
}

async fn execute_until_told(config: &Config, command: Command, nats: Nats) -> anyhow::Result<()> {
    match command {
        Command::Run
        | Command::Rebuild { .. }
        | Command::Forget { .. }
        | Command::CatchUp(_)
        | Command::Doctor(_) => Ok(()),
        Command::Verify { projection, format } => {
            verify(&open(config, nats).await?, projection, Output { json: format.json }).await
        }
        Command::Status { format } => {
            let status = status::status(&open(config, nats).await?).await?;
            Output { json: format.json }.print(&status, text::status)
        }
        Command::DeadLetters { action } => with_dead_letters(&nats, action).await,
    }
}

/// Waits no longer than a command may: an operator wants to know.
pub(crate) async fn connect(config: &Config) -> anyhow::Result<Nats> {
    let health = Health::default();
    let nats = Nats::connect(&config.nats, "projector-command", &health).await?;
    let mut connects = nats.connects();
    let connected = tokio::time::timeout(CONNECT, connects.wait_for(|n_connects| *n_connects > 0)).await;
    // The URL itself can have a password in it.
    connected.with_context(|| match health.failures().get("nats") {
        Some(reason) => format!("no NATS server answers at NATS_URL: {reason}"),
        None => "no NATS server answers at NATS_URL".to_owned(),
    })??;
    Ok(nats)
}

async fn open(config: &Config, nats: Nats) -> anyhow::Result<Projections> {
    let log = EventLog::open(&nats).await.context("the streams are made by a projector that runs")?;
    Ok(Projections { nats, log, replicas: config.nats_replicas })
}

async fn rebuild(
    projections: &Projections,
    name: ProjectionName,
    output: Output,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut progress = Progress::new(format!("folding {}", name.as_str()));
    let rebuilt = projections.rebuild(name, |done, of| progress.at(done, of), shutdown).await;
    drop(progress);
    let rebuilt = rebuilt?.context("cancelled: readers use what they used before")?;
    output.print(&rebuilt, text::rebuilt)
}

async fn verify(projections: &Projections, name: ProjectionName, output: Output) -> anyhow::Result<()> {
    let mut progress = Progress::new(format!("folding {}", name.as_str()));
    let verified = projections.verify(name, |done, of| progress.at(done, of)).await;
    drop(progress);
    let verified = verified?;
    output.print(&verified, text::verified)?;
    let name = name.as_str();
    ensure!(verified.holds(), "{name} is not what its events give: `projector rebuild {name}` folds it anew");
    Ok(())
}

async fn with_dead_letters(nats: &Nats, action: DeadLetters) -> anyhow::Result<()> {
    match action {
        DeadLetters::List { format } => {
            let letters = dead_letters::list(nats).await?;
            Output { json: format.json }.print(&letters, |letters| text::letters(letters))
        }
        DeadLetters::Show { id, format } => {
            let letter = dead_letters::show(nats, &id).await?;
            Output { json: format.json }.print(&letter.content(), |_| text::letter(&letter))
        }
        DeadLetters::Replay { id, all: _, format } => {
            let ids = match id {
                Some(id) => vec![id],
                None => dead_letters::list(nats).await?.into_iter().map(|letter| letter.id).collect(),
            };
            replay(nats, &ids, Output { json: format.json }).await
        }
        DeadLetters::Drop { id, format } => {
            let letter = dead_letters::drop(nats, &id).await?.letter;
            Output { json: format.json }.print(&letter, |letter| {
                format!("dropped {}, set aside because: {}", letter.id, letter.reason)
            })
        }
    }
}

async fn replay(nats: &Nats, ids: &[DeliveryId], output: Output) -> anyhow::Result<()> {
    let mut progress = Progress::new("replaying".to_owned());
    let mut replayed = vec![];
    let mut failed = None;
    for id in ids {
        match dead_letters::replay(nats, id, None).await {
            Ok(one) => replayed.push(one),
            // Somebody else replayed or dropped it since it was listed.
            Err(DeadLetterError::Unknown(_)) if ids.len() > 1 => {}
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        progress.at(replayed.len() as u64, ids.len() as u64);
    }
    drop(progress);
    // What was done is told also where the rest failed.
    if !replayed.is_empty() || failed.is_none() {
        output.print(&replayed, |replayed| text::replayed(replayed))?;
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
