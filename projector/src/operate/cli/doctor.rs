//! `projector doctor`.

use anyhow::{Context, ensure};
use clap::Args;
use runtime::CancellationToken;

use super::Format;
use super::output::Output;
use crate::Config;
use crate::doctor::{self, Checked, Report, Settings, State};

/// What to look at, and how to tell it.
#[derive(Clone, Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    format: Format,
}

/// Fails where anything is found.
pub(super) async fn doctor(
    config: &Config,
    request: Doctor,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let output = Output { json: request.format.json };
    let mut printed = Ok(());
    let mut tell = |checked: &Checked| {
        if !request.format.json && printed.is_ok() {
            printed = output.print(checked, text);
        }
    };
    let examined = Box::pin(doctor::examine(config, &request.settings, &mut tell));
    let report = shutdown.run_until_cancelled(examined).await.context("stopped by a signal")?;
    printed?;
    if request.format.json {
        output.print(&report, |_| String::new())?;
    }
    let Report { findings, checks } = report;
    let n_skipped = checks.iter().filter(|checked| checked.state == State::Skipped).count();
    tracing::info!("made {} checks; {n_skipped} could not be made", checks.len() - n_skipped);
    ensure!(findings.is_empty(), "not all is well: what was found says how to mend it");
    Ok(())
}

/// A line for each thing that is to be said, and under it what to do.
fn text(checked: &Checked) -> String {
    let state = match checked.state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Fault => "fault",
        State::Skipped => "skipped",
    };
    let line = |said: &str| format!("{state:8} {:16} {said}", checked.check);
    let said = checked.said.iter().map(|said| line(said));
    let findings = checked
        .findings
        .iter()
        .map(|finding| format!("{}\n{:25} fix: {}", line(&finding.what), "", finding.fix));
    said.chain(findings).collect::<Vec<_>>().join("\n")
}
