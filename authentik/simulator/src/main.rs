//! Runs the simulator until SIGTERM or Ctrl-C.

use clap::Parser as _;
use simulator::Config;
use tokio_util::sync::CancellationToken;

/// A stand-in for authentik 2026.2.2, for development and tests.
#[derive(clap::Parser)]
#[command(version, about)]
struct Arguments {
    #[command(flatten)]
    config: Config,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let shutdown = CancellationToken::new();
    tokio::spawn(stop_on_signal(shutdown.clone()));
    simulator::run(arguments.config, shutdown).await
}

async fn stop_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    shutdown.cancel();
}
