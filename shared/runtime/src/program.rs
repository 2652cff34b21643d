//! From `main` to `run(config, shutdown)`.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Arg, ArgMatches, Parser};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{self, ConfigError, TelemetryConfig};
use crate::{healthcheck, telemetry};

/// Exit status after a second signal: 128 + SIGTERM.
const KILLED: i32 = 143;

/// How long an orderly end may take. Whoever runs a container kills it after 10 s.
pub const GRACE: Duration = Duration::from_secs(9);

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
    started(secrets, &[], |config, _| {
        telemetry::start(telemetry(&config))?;
        run_until_signalled(config, run)
    })
}

/// [`main`] of a service: with `--healthcheck` it asks the one that runs, which listens on `listen`, and ends.
pub fn service<C, F>(
    secrets: &[&str],
    telemetry: fn(&C) -> &TelemetryConfig,
    listen: fn(&C) -> &str,
    run: fn(C, CancellationToken) -> F,
) -> ExitCode
where
    C: Parser,
    F: Future<Output = anyhow::Result<()>>,
{
    started(secrets, &[healthcheck::flag()], |config, flags| {
        if flags.get_flag(healthcheck::FLAG) {
            return healthcheck::check(listen(&config));
        }
        telemetry::start(telemetry(&config))?;
        run_until_signalled(config, run)
    })
}

fn started<C: Parser>(
    secrets: &[&str],
    flags: &[Arg],
    go_on: impl FnOnce(C, ArgMatches) -> anyhow::Result<()>,
) -> ExitCode {
    // A missing `.env` is usual; a broken one is not.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        return failed(&format!(".env: {error}"));
    }
    let variable = |name: &str| std::env::var(name).ok();
    let (config, flags) = match config::parse(std::env::args_os(), secrets, flags, variable) {
        Ok(parsed) => parsed,
        Err(ConfigError::Clap(error)) if !error.0.use_stderr() => error.0.exit(),
        Err(error) => return failed(&error.to_string()),
    };
    match go_on(config, flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{error:#}")),
    }
}

/// Waits until all tasks have ended. One that fails or panics ends the others by the shutdown; its error is the result.
///
/// After the shutdown a task has [`GRACE`] to end: what hangs then is left to whoever finds it unfinished.
pub async fn all(mut tasks: JoinSet<anyhow::Result<()>>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut result = Ok(());
    let ending = async {
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.context("a task panicked").and_then(|ended| ended);
            if ended.is_err() {
                shutdown.cancel();
                if result.is_ok() {
                    result = ended;
                }
            }
        }
    };
    if in_time(ending, shutdown).await.is_none() {
        tracing::warn!("ending, though {} tasks have not ended in {GRACE:?}", tasks.len());
    }
    result
}

/// Waits for the end of something; nothing where [`GRACE`] after the shutdown it has not come.
pub async fn in_time<T>(ending: impl Future<Output = T>, shutdown: &CancellationToken) -> Option<T> {
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = ending => Some(ended),
        () = late => None,
    }
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
    let result = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        tokio::spawn(cancel_on_signal(shutdown.clone()));
        tokio::spawn(keep_metrics_small(shutdown.clone()));
        run(config, shutdown).await
    });
    // A name that is being looked up cannot be cancelled: it must not keep the process.
    runtime.shutdown_background();
    result
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

    #[tokio::test(start_paused = true)]
    async fn a_task_that_hangs_is_not_waited_for_after_the_shutdown() {
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        let mut all = std::pin::pin!(all(tasks, &shutdown));
        assert!(
            tokio::time::timeout(GRACE * 10, &mut all).await.is_err(),
            "while it runs, tasks may take long"
        );
        shutdown.cancel();
        assert!(tokio::time::timeout(GRACE * 2, all).await.unwrap().is_ok());
    }
}
