//! `projector catch-up`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::Args;
use domain::timestamp::Timestamp;
use runtime::health::Health;
use runtime::{CancellationToken, clock};

use super::Format;
use super::output::Output;
use super::progress::Progress;
use crate::directory::AuthentikDirectory;
use crate::projections::Projections;
use crate::reconcile::{CaughtUp, Differences, Mode, Stage, Sweep};
use crate::record::Recorder;
use crate::record::guard::Guard;
use crate::record::members::{self, Members};
use crate::{Config, lease};

/// Longest time ago that can be asked for: a century is before anything.
const LONGEST: Duration = Duration::from_hours(24 * 36_500);

/// What to compare, and whether to record it.
#[derive(Clone, Copy, Debug, Args)]
pub struct CatchUp {
    /// Walk through authentik's event log from then on: a time like 2026-11-22T08:00:00Z, or how long ago, like 36h or 7d.
    /// Without it, from where the last walk ended.
    #[arg(long, value_parser = since)]
    since: Option<Since>,
    /// Record nothing, and say what would be recorded.
    #[arg(long)]
    dry_run: bool,
    /// Confirm first that so many more users may be recorded as deleted; beyond that the brake is on again.
    #[arg(long, conflicts_with = "dry_run", value_name = "N")]
    allow_deletions: Option<u64>,
    #[command(flatten)]
    format: Format,
}

/// From when on.
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
        _ => Err("expected a time like 2026-11-22T08:00:00Z, or how long ago, like 36h or 7d".to_owned()),
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

/// Compares all of authentik with what is recorded. Fails where deletions are held back or something is left out.
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
        // Before anything is confirmed.
        let acquired = shutdown.run_until_cancelled(lease::try_acquire(&projections.nats, "catch-up")).await;
        let mut lease = match acquired.transpose()? {
            Some(Ok(lease)) => lease,
            Some(Err(holder)) => bail!("another catch-up runs, by {holder}: wait for it, or stop it"),
            None => bail!("stopped by a signal: nothing was done"),
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
        bail!("stopped by a signal: what was recorded stays, and `projector catch-up` finds the rest");
    };
    let caught_up = caught_up?;
    Output { json: request.format.json }.print(&caught_up, text)?;
    if let Some(reason) = &caught_up.held_back_because {
        bail!("{} deletions are held back: {reason}", caught_up.report.n_held_back);
    }
    let n_failed = caught_up.report.n_failed;
    ensure!(
        n_failed == 0,
        "{n_failed} users and groups are left out: what is said above names each, and why"
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
        crate::allow_deletions(nats, n_deletions, now).await?;
    }
    // The brake goes by how many users are recorded.
    let members = Members::default();
    let head = log.head().await?;
    tokio::spawn(members::follow(members.clone(), nats.clone(), log.clone(), Health::default(), end));
    members.caught_up(head).await?;
    let guard = Guard::new(nats.clone(), log.clone(), members, Health::default());
    let recorder = Recorder::new(directory, log.clone(), guard.clone(), config.envelope()?);
    let sweep = Sweep { recorder: Arc::new(recorder), nats: nats.clone(), guard };
    let mode = if request.dry_run { Mode::DryRun } else { Mode::Record };
    let mut shown: Option<(Stage, Progress)> = None;
    let mut progress = |stage, done, of| {
        if shown.as_ref().is_none_or(|(before, _)| *before != stage) {
            // The bar before is gone before the next one is drawn.
            shown = None;
        }
        let (_, progress) = shown.get_or_insert_with(|| (stage, Progress::new(stage.to_string())));
        progress.at(done, of);
    };
    sweep.catch_up(mode, request.since.map(|since| since.before(now)), &mut progress).await
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EventLog => "reading authentik's event log",
            Self::Users => "comparing users",
            Self::Groups => "comparing groups",
            Self::Missing => "recording deletions",
        })
    }
}

fn text(caught_up: &CaughtUp) -> String {
    let CaughtUp { dry_run, n_from_event_log, report, .. } = caught_up;
    let would = if *dry_run { "would be " } else { "" };
    let event_log = match n_from_event_log {
        Some(n_events) => format!("{n_events} events of authentik's log {would}put into the inbox"),
        None => "authentik's event log is not walked: no walk was completed before, and no --since is given"
            .to_owned(),
    };
    let mut lines = vec![
        format!("compared {} users and {} groups with what is recorded", report.n_users, report.n_groups),
        format!("imported   {}", report.n_imported),
        format!("differing  {}", report.n_differing),
        format!("missing    {}", report.n_missing),
        format!("held back  {}", report.n_held_back),
        format!("left out   {}", report.n_failed),
        event_log,
    ];
    lines.extend(caught_up.would_record.as_ref().map(differences));
    lines.join("\n")
}

fn differences(would_record: &Differences) -> String {
    let n_events: u64 = would_record.n_events.values().sum();
    let mut lines = vec![format!("{n_events} events would be recorded; nothing was")];
    lines.extend(would_record.n_events.iter().map(|(event_type, n)| format!("  {n} {event_type}")));
    if !would_record.differences.is_empty() {
        lines.push(format!("the first {} of what differs:", would_record.differences.len()));
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
    fn since_is_a_time_or_how_long_ago() {
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
