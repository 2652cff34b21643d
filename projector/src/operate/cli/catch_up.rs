//! `projector catch-up`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::Args;
use domain::timestamp::Timestamp;
use runtime::health::Health;
use runtime::{CancellationToken, clock};

use super::Format;
use super::progress::StagedProgress;
use crate::directory::AuthentikDirectory;
use crate::projections::Projections;
use crate::reconcile::{CaughtUp, Differences, Mode, Stage, Sweep};
use crate::record::Recorder;
use crate::record::guard::Guard;
use crate::record::members::{self, Members};
use crate::{Config, lease};

/// Longest duration that `--since` accepts: 100 years.
const LONGEST: Duration = Duration::from_hours(24 * 36_500);

/// The arguments of the subcommand.
#[derive(Clone, Copy, Debug, Args)]
pub struct CatchUp {
    /// Read authentik's event log from this time on: a time like 2026-11-22T08:00:00Z, or a duration before
    /// now like 36h or 7d. By default, from where the last completed reading ended.
    #[arg(long, value_parser = since)]
    since: Option<Since>,
    /// Record nothing, and print what would be recorded.
    #[arg(long)]
    dry_run: bool,
    /// First allow N more users to be recorded as deleted; the brake stops any further deletion.
    #[arg(long, conflicts_with = "dry_run", value_name = "N")]
    allow_deletions: Option<u64>,
    #[command(flatten)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Time(Timestamp),
    Ago(Duration),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(time) = text.parse() {
        return Ok(Since::Time(time));
    }
    let number = text.trim_end_matches(|unit: char| !unit.is_ascii_digit());
    let seconds = match &text[number.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => 0,
    };
    let ago = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    match ago.map(Duration::from_secs) {
        Some(ago) if seconds > 0 && ago <= LONGEST => Ok(Since::Ago(ago)),
        _ => Err("expected a time like 2026-11-22T08:00:00Z, or a duration like 36h or 7d".to_owned()),
    }
}

impl Since {
    fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Time(time) => time,
            Self::Ago(ago) => (now.to_offset_date_time() - ago).into(),
        }
    }
}

/// Records all differences from authentik. Fails if deletions are held back or a user or group is left out.
pub(super) async fn catch_up(
    config: &Config,
    projections: Projections,
    request: CatchUp,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let directory = AuthentikDirectory::new(config)?;
    let end = CancellationToken::new();
    let _ends = end.clone().drop_guard();
    let caught_up = if request.dry_run {
        let caught_up = compare(config, directory, &projections, request, end);
        shutdown.run_until_cancelled(Box::pin(caught_up)).await
    } else {
        // Acquire the lease before `--allow-deletions` takes effect.
        let acquired = shutdown.run_until_cancelled(lease::try_acquire(&projections.nats, "catch-up")).await;
        let mut lease = match acquired.transpose()? {
            Some(Ok(lease)) => lease,
            Some(Err(holder)) => bail!("another catch-up is run by {holder}: wait for it, or stop it"),
            None => bail!("stopped by a signal: nothing was recorded"),
        };
        let caught_up = Box::pin(compare(config, directory, &projections, request, end));
        let caught_up = tokio::select! {
            caught_up = caught_up => Some(caught_up),
            () = lease.keep() => Some(Err(anyhow::anyhow!("another catch-up took over"))),
            () = shutdown.cancelled() => None,
        };
        lease.give_back().await;
        caught_up
    };
    let Some(caught_up) = caught_up else {
        bail!("stopped by a signal: repeat `projector catch-up` to record the remaining differences");
    };
    let caught_up = caught_up?;
    request.format.print(&caught_up, text)?;
    if let Some(reason) = &caught_up.held_back_because {
        bail!("{} deletions are held back: {reason}", caught_up.report.n_held_back);
    }
    let n_failed = caught_up.report.n_failed;
    ensure!(
        n_failed == 0,
        "{n_failed} users and groups could not be recorded: the log above names each with its reason"
    );
    Ok(())
}

async fn compare(
    config: &Config,
    directory: AuthentikDirectory,
    projections: &Projections,
    request: CatchUp,
    end: CancellationToken,
) -> anyhow::Result<CaughtUp> {
    let Projections { nats, log, .. } = projections;
    let now = clock::now();
    if let Some(n_deletions) = request.allow_deletions {
        crate::allow_deletions(nats, n_deletions, None).await?;
    }
    // The brake compares deletions with the number of recorded users, so load them first.
    let members = Members::default();
    let head = log.head().await?;
    tokio::spawn(members::follow(members.clone(), nats.clone(), log.clone(), Health::default(), end));
    members.caught_up(head).await?;
    let guard = Guard::new(nats.clone(), log.clone(), members);
    let recorder = Recorder::new(directory, log.clone(), guard.clone(), config.envelope()?);
    let sweep = Sweep { recorder: Arc::new(recorder), nats: nats.clone(), guard };
    let mode = if request.dry_run { Mode::DryRun } else { Mode::Record };
    let mut progress = StagedProgress::new();
    let mut set_progress = |stage, done, of| progress.set(stage, stage_name, done, of);
    sweep.catch_up(mode, request.since.map(|since| since.before(now)), &mut set_progress).await
}

fn stage_name(stage: Stage) -> String {
    match stage {
        Stage::EventLog => "reading authentik's event log",
        Stage::Users => "comparing users",
        Stage::Groups => "comparing groups",
        Stage::Missing => "recording deletions",
    }
    .to_owned()
}

fn text(caught_up: &CaughtUp) -> String {
    let CaughtUp { dry_run, n_from_event_log, report, .. } = caught_up;
    let would = if *dry_run { "would be " } else { "" };
    let event_log = match n_from_event_log {
        Some(n_events) => format!("{n_events} events of authentik's event log {would}added to the inbox"),
        None => {
            "authentik's event log was not read: it was never read before, and --since is not set".to_owned()
        }
    };
    let mut lines = vec![
        format!("compared {} users and {} groups with their recorded state", report.n_users, report.n_groups),
        format!("imported   {}", report.n_imported),
        format!("differing  {}", report.n_differing),
        format!("missing    {}", report.n_missing),
        format!("held back  {}", report.n_held_back),
        format!("failed     {}", report.n_failed),
        event_log,
    ];
    lines.extend(caught_up.would_record.as_ref().map(differences));
    lines.join("\n")
}

fn differences(would_record: &Differences) -> String {
    let n_events: u64 = would_record.n_events.values().sum();
    let mut lines = vec![format!("{n_events} events would be recorded; nothing was recorded")];
    lines.extend(would_record.n_events.iter().map(|(event_type, n)| format!("  {n} {event_type}")));
    if !would_record.differences.is_empty() {
        lines.push(format!("the first {} differing users and groups:", would_record.differences.len()));
    }
    lines.extend(would_record.differences.iter().map(|difference| {
        let events: Vec<_> = difference.events.iter().map(|event| event.as_str()).collect();
        format!("  {}: {}", difference.subject, events.join(", "))
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_duration_before_now() {
        let time = "2026-11-22T08:00:00Z".parse().unwrap();
        assert_eq!(since("2026-11-22T08:00:00Z"), Ok(Since::Time(time)));
        assert_eq!(since("36h"), Ok(Since::Ago(Duration::from_hours(36))));
        assert_eq!(since("7d").unwrap().before(time).to_string(), "2026-11-15T08:00:00.000000Z");
        for wrong in ["", "7", "d", "-7d", "7 d", "7ä", "yesterday", "99999999999w", "18446744073709551615w"]
        {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
