//! A measured server. It runs as a separate process, so that the costs of its clients do not count.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, ensure};
use runtime::config::{NatsConfig, TelemetryConfig};
use testkit::{eventually, free_port, recordings};
use tokio::process::{Child, Command};

use crate::compare::{Plan, Way};

/// Metric with the sequence of the last event that a server has received.
pub const SEEN: &str = "api_feed_sequence";

/// Options of a server that the system is measured against.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerConfig {
    #[command(flatten)]
    pub nats: NatsConfig,
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// Address to listen on: `host:port`.
    #[arg(long)]
    pub listen: String,
}

/// A running server; killed on drop.
pub struct Server {
    process: Child,
    /// Its address: `host:port`.
    pub address: String,
    /// Its base URL.
    pub url: String,
}

impl Server {
    /// Starts the API or the naive feed and waits until it is ready. The naive feed does not check tokens.
    pub async fn start(plan: &Plan, way: Way, nats_url: &str, issuer: &str) -> anyhow::Result<Self> {
        let address = format!("127.0.0.1:{}", free_port());
        let nats = format!("--nats-url={nats_url}");
        let flags = match way {
            Way::AsItIs => vec![
                "serve-api".to_owned(),
                format!("--api-listen={address}"),
                format!("--authentik-issuer={issuer}"),
                nats,
            ],
            Way::Naive => vec!["serve-naive".to_owned(), format!("--listen={address}"), nats],
        };
        Self::run(plan, address, flags).await
    }

    /// Starts the ingress or its reference and waits until it is ready. The reference checks no signatures.
    pub async fn ingress(plan: &Plan, way: Way, nats_url: &str) -> anyhow::Result<Self> {
        let address = format!("127.0.0.1:{}", free_port());
        let nats = format!("--nats-url={nats_url}");
        let flags = match way {
            Way::AsItIs => vec![
                "serve-ingress".to_owned(),
                format!("--ingress-listen={address}"),
                format!("--webhook-secrets={}", recordings::webhook_secret()),
                nats,
            ],
            Way::Naive => vec!["serve-reference".to_owned(), format!("--listen={address}"), nats],
        };
        Self::run(plan, address, flags).await
    }

    async fn run(plan: &Plan, address: String, flags: Vec<String>) -> anyhow::Result<Self> {
        let process = Command::new(&plan.executable)
            .args(flags)
            .arg("--rust-log=warn")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting a server")?;
        let url = format!("http://{address}");
        eventually("the server is ready", || async {
            let answer = reqwest::get(format!("{url}/readyz")).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Ok(Self { process, address, url })
    }

    /// Waits until the server has received this event, so that new subscribers receive only later ones.
    pub async fn wait_until_seen(&self, sequence: u64) {
        eventually("the server has seen the newest event", || async {
            let metrics = reqwest::get(format!("{}/metrics", self.url)).await.ok()?.text().await.ok()?;
            let seen = metrics.lines().find_map(|line| line.strip_prefix(SEEN)?.trim().parse::<f64>().ok());
            #[expect(clippy::cast_precision_loss, reason = "no stream comes near 2^52 events")]
            (seen? >= sequence as f64).then_some(())
        })
        .await;
    }

    /// CPU time that the server has used, in seconds.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let threads =
            std::fs::read_dir(self.proc_file("task")?).context("listing the threads of a server")?;
        let mut nanoseconds = 0.0;
        for thread in threads {
            let path = thread.context("listing the threads of a server")?.path().join("schedstat");
            let text = std::fs::read_to_string(path).context("reading the CPU time of a thread")?;
            let on_cpu = text.split(' ').next().unwrap_or_default();
            nanoseconds +=
                on_cpu.parse::<f64>().context("parsing the nanoseconds at the start of schedstat")?;
        }
        ensure!(
            nanoseconds > 0.0,
            "this kernel does not measure the CPU time of threads; it needs CONFIG_SCHED_INFO"
        );
        Ok(nanoseconds / 1e9)
    }

    /// Resident memory in kB.
    pub fn resident_kb(&self) -> anyhow::Result<f64> {
        let status =
            std::fs::read_to_string(self.proc_file("status")?).context("reading the memory of a server")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
        resident
            .and_then(|resident| resident.trim().parse().ok())
            .context("finding VmRSS in the status of a process")
    }

    fn proc_file(&self, file: &str) -> anyhow::Result<PathBuf> {
        let id = self.process.id().context("a server has ended")?;
        Ok(format!("/proc/{id}/{file}").into())
    }
}
