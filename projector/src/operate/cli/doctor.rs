//! `projector doctor`.

use anyhow::{Context, ensure};
use clap::Args;
use runtime::CancellationToken;

use super::Format;
use crate::Config;
use crate::doctor::{self, CheckResult, Report, Settings, State};

/// The arguments of the subcommand.
#[derive(Clone, Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    format: Format,
}

/// Prints each check as soon as it is made. Fails if there are findings.
pub(super) async fn doctor(
    config: &Config,
    request: Doctor,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let Doctor { settings, format } = request;
    let mut printed = Ok(());
    let mut on_check = |result: &CheckResult| {
        if !format.json && printed.is_ok() {
            printed = format.print(result, text);
        }
    };
    let examined = Box::pin(doctor::examine(config, &settings, &mut on_check));
    let report = shutdown.run_until_cancelled(examined).await.context("stopped by a signal")?;
    printed?;
    if format.json {
        format.print(&report, |_| String::new())?;
    }
    let Report { findings, checks } = report;
    let n_skipped = checks.iter().filter(|result| result.state == State::Skipped).count();
    tracing::info!("made {} checks and skipped {n_skipped}", checks.len() - n_skipped);
    ensure!(findings.is_empty(), "the installation has problems: each finding says how to fix it");
    Ok(())
}

/// One line for the result of the check, or two for each finding: the problem and its fix.
fn text(result: &CheckResult) -> String {
    let state = match result.state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Fault => "fault",
        State::Skipped => "skipped",
    };
    let line = |text: &str| format!("{state:8} {:16} {text}", result.check);
    let said = result.said.iter().map(|said| line(said));
    let findings = result
        .findings
        .iter()
        .map(|finding| format!("{}\n{:25} fix: {}", line(&finding.what), "", finding.fix));
    said.chain(findings).collect::<Vec<_>>().join("\n")
}
