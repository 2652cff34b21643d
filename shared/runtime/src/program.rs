//! From `main` to `run(config, shutdown)`.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{self, ConfigError, TelemetryConfig};
use crate::telemetry;

/// Exit status after a second signal: 128 + SIGTERM.
const KILLED: i32 = 143;

/// Everything that `main` does: reads `.env` and the configuration, starts logging, and runs the program until
/// it ends or a signal asks it to.
pub fn main<C, F>(
    secrets: &[&str],
    telemetry: fn(&C) -> &TelemetryConfig,
    run: fn(C, CancellationToken) -> F,
) -> ExitCode
where
    C: Parser,
    F: Future<Output = anyhow::Result<()>>,
{
    // A missing `.env` is usual; a broken one is not.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        return failed(&format!(".env: {error}"));
    }
    let config: C = match config::parse(std::env::args_os(), secrets, |name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(ConfigError::Clap(error)) if !error.0.use_stderr() => error.0.exit(),
        Err(error) => return failed(&error.to_string()),
    };
    let result = telemetry::start(telemetry(&config)).and_then(|()| run_until_signalled(config, run));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{error:#}")),
    }
}

/// Waits until all tasks have ended. One that fails or panics ends the others by the shutdown; its error is the result.
pub async fn all(mut tasks: JoinSet<anyhow::Result<()>>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.context("a task panicked").and_then(|ended| ended);
        if ended.is_err() {
            shutdown.cancel();
            result = result.and(ended);
        }
    }
    result
}

/// [`all`], after a start that may have failed: then the tasks that were begun are ended, and its error is the result.
pub async fn all_started(
    started: Option<anyhow::Result<()>>,
    tasks: JoinSet<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let started = started.unwrap_or(Ok(()));
    if started.is_err() {
        shutdown.cancel();
    }
    all(tasks, shutdown).await.and(started)
}

fn failed(problem: &str) -> ExitCode {
    // Nobody is left to tell where standard error is closed.
    let _ = writeln!(std::io::stderr(), "error: {problem}");
    ExitCode::FAILURE
}

fn run_until_signalled<C, F>(config: C, run: fn(C, CancellationToken) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        tokio::spawn(cancel_on_signal(shutdown.clone()));
        tokio::spawn(keep_metrics_small(shutdown.clone()));
        run(config, shutdown).await
    })
}

/// The first SIGTERM or SIGINT asks for an orderly end, the second one ends at once.
async fn cancel_on_signal(shutdown: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals: only SIGKILL ends this process");
        return;
    };
    for times in 1.. {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if times > 1 {
            std::process::exit(KILLED);
        }
        tracing::info!("shutting down; a second signal ends at once");
        shutdown.cancel();
    }
}

async fn keep_metrics_small(shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        telemetry::upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_fails_ends_the_others_and_is_the_result() {
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let other = shutdown.clone();
        tasks.spawn(async move {
            other.cancelled().await;
            Ok(())
        });
        tasks.spawn(async { anyhow::bail!("out of luck") });
        let error = all(tasks, &shutdown).await.unwrap_err();
        assert_eq!(error.to_string(), "out of luck");
    }
}
