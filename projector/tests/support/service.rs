//! Runs the projector service in this process.

use clap::Parser;
use projector::Config;
use runtime::CancellationToken;

/// A projector in this process.
pub struct Service {
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Service {
    /// Starts a projector that serves health on `127.0.0.1:{port}`.
    pub fn start(nats_url: &str, authentik_url: &str, port: u16, more_flags: &[&str]) -> Self {
        let flags = [
            "projector".to_owned(),
            format!("--nats-url={nats_url}"),
            format!("--authentik-url={authentik_url}"),
            "--authentik-token=token".to_owned(),
            format!("--projector-listen=127.0.0.1:{port}"),
        ];
        let flags = flags.into_iter().chain(more_flags.iter().map(|flag| (*flag).to_owned()));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(projector::run(Config::parse_from(flags), shutdown.clone()));
        Self { shutdown, task }
    }

    /// Stops the projector, which must end without an error.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}
