//! nats-server as a child process.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::config::Config;

/// A running nats-server. It is killed on drop.
pub(crate) struct NatsServer {
    process: Child,
    log: std::path::PathBuf,
}

impl NatsServer {
    /// Starts nats-server and waits until it listens.
    pub(crate) async fn start(config: &Config) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("STANDALONE_DATA_DIR: creating {}", config.data_dir.display()))?;
        let address = ("127.0.0.1", config.nats_port);
        anyhow::ensure!(
            TcpStream::connect(address).await.is_err(),
            "port {} is in use, perhaps by another nats-server: stop it, or set STANDALONE_NATS_PORT",
            config.nats_port
        );
        let log = config.data_dir.join("nats-server.log");
        let process = spawn(config, &log)?;
        let mut server = Self { process, log };
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ended = server.ended() => Err(ended),
            listening = tokio::time::timeout(Duration::from_secs(20), listens) => {
                listening.with_context(|| format!("nats-server does not listen: see {}", server.log.display()))?;
                Ok(server)
            }
        }
    }

    /// Waits until nats-server exits by itself, and returns the error to report.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        let status = self
            .process
            .wait()
            .await
            .map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string());
        anyhow::anyhow!("nats-server exited ({status}): see {}", self.log.display())
    }

    /// Kills nats-server. Every acknowledged message is on disk.
    pub(crate) async fn stop(mut self) {
        if let Err(error) = self.process.kill().await {
            tracing::warn!("stopping nats-server: {error}");
        }
    }
}

fn spawn(config: &Config, log: &std::path::Path) -> anyhow::Result<Child> {
    // As in nats/nats-server.conf: a message is on disk before it is acknowledged.
    let settings = "jetstream { sync_interval: always }\nmax_payload: 1MB\n";
    let file = config.data_dir.join("nats-server.conf");
    std::fs::write(&file, settings).with_context(|| format!("writing {}", file.display()))?;
    let log_file = std::fs::File::create(log).with_context(|| format!("writing {}", log.display()))?;
    Command::new(&config.nats_server)
        .arg("--config")
        .arg(&file)
        .arg("--store_dir")
        .arg(config.data_dir.join("nats"))
        .args(["--addr", "127.0.0.1", "--port", &config.nats_port.to_string()])
        // Its own process group, so that a Ctrl-C in the terminal does not stop nats-server before the other parts.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log_file)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| {
            format!(
                "starting {}: run `scripts/get-nats-server`, or set NATS_SERVER",
                config.nats_server.display()
            )
        })
}
