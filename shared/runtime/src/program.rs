//! The `main` function of every program, which calls its `run(config, shutdown)`.

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

/// How long an orderly shutdown may take. Docker kills a container 10 s after SIGTERM
/// (<https://docs.docker.com/reference/cli/docker/container/stop/>).
pub const GRACE: Duration = Duration::from_secs(9);

/// Reads `.env` and the configuration, starts logging, and runs the program until it ends or a signal shuts it down.
///
/// `secrets` names environment variables that can be read from files; see [`config::parse`].
pub fn main<C, F>(
    secrets: &[&str],
    telemetry: fn(&C) -> &TelemetryConfig,
    run: fn(C, CancellationToken) -> F,
) -> ExitCode
where
    C: Parser,
    F: Future<Output = anyhow::Result<()>>,
{
    configured(secrets, &[], |config, _| {
        telemetry::start(telemetry(&config))?;
        run_until_signalled(config, run)
    })
}

/// [`main`] of a program that serves [`crate::http::operations`] on the address that `listen` returns.
///
/// With the flag `--healthcheck` it only checks whether the running process is ready.
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
    configured(secrets, &[healthcheck::flag()], |config, flags| {
        if flags.get_flag(healthcheck::FLAG) {
            return healthcheck::check(listen(&config));
        }
        telemetry::start(telemetry(&config))?;
        run_until_signalled(config, run)
    })
}

/// Reads the configuration and runs `body` with it. Prints an error of either to standard error.
fn configured<C: Parser>(
    secrets: &[&str],
    flags: &[Arg],
    body: impl FnOnce(C, ArgMatches) -> anyhow::Result<()>,
) -> ExitCode {
    // A missing `.env` is normal; a malformed one is an error.
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
    match body(config, flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{error:#}")),
    }
}

/// Waits until all tasks have ended. If a task fails or panics, shuts the others down and returns the first error.
///
/// Tasks have [`GRACE`] to end after the shutdown. Tasks that hang longer are abandoned.
pub async fn join_tasks(
    mut tasks: JoinSet<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
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
    if within_grace(ending, shutdown).await.is_none() {
        tracing::warn!("exiting although {} tasks have not ended within {GRACE:?}", tasks.len());
    }
    result
}

/// Runs a future to its end. `None` if it has not ended [`GRACE`] after the shutdown.
pub async fn within_grace<T>(work: impl Future<Output = T>, shutdown: &CancellationToken) -> Option<T> {
    let deadline = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        output = work => Some(output),
        () = deadline => None,
    }
}

/// [`join_tasks`] after a start that may have failed.
///
/// `started` is the result of the start, or `None` if the shutdown interrupted it. If the start failed, shuts the tasks
/// down and returns its error.
pub async fn join_started(
    started: Option<anyhow::Result<()>>,
    tasks: JoinSet<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let started = started.unwrap_or(Ok(()));
    if started.is_err() {
        shutdown.cancel();
    }
    join_tasks(tasks, shutdown).await.and(started)
}

fn failed(problem: &str) -> ExitCode {
    // If standard error is closed, the error cannot be reported.
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
    // A running DNS lookup blocks a thread and cannot be cancelled. It must not delay the exit.
    runtime.shutdown_background();
    result
}

/// The first SIGTERM or SIGINT starts an orderly shutdown; the second exits immediately.
async fn cancel_on_signal(shutdown: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals: only SIGKILL can end this process");
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
        tracing::info!("shutting down; a second signal exits immediately");
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
    async fn a_failed_task_shuts_the_others_down_and_its_error_is_returned() {
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let other = shutdown.clone();
        tasks.spawn(async move {
            other.cancelled().await;
            Ok(())
        });
        tasks.spawn(async { anyhow::bail!("broken") });
        let error = join_tasks(tasks, &shutdown).await.unwrap_err();
        assert_eq!(error.to_string(), "broken");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_task_does_not_delay_the_shutdown_beyond_the_grace_period() {
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        let mut joined = std::pin::pin!(join_tasks(tasks, &shutdown));
        assert!(
            tokio::time::timeout(GRACE * 10, &mut joined).await.is_err(),
            "before the shutdown a task may run for any time"
        );
        shutdown.cancel();
        assert!(tokio::time::timeout(GRACE * 2, joined).await.unwrap().is_ok());
    }
}
