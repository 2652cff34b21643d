//! A server as a process of its own, so that what it takes is told from what its clients take.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, ensure};
use testkit::{eventually, free_port};
use tokio::process::{Child, Command};

use crate::compare::{Plan, Way};

/// The metric by which a server tells up to where it has seen the events.
pub const SEEN: &str = "api_feed_sequence";

/// Killed on drop.
pub struct Server {
    process: Child,
    /// Where it is.
    pub url: String,
}

impl Server {
    /// The API, or the naive feed, which knows nothing of tokens. Waits until it is ready.
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
        Ok(Self { process, url })
    }

    /// Waits until it has seen the event of that sequence: who subscribes then gets what comes after it.
    pub async fn has_seen(&self, sequence: u64) {
        eventually("the server has seen the newest event", || async {
            let metrics = reqwest::get(format!("{}/metrics", self.url)).await.ok()?.text().await.ok()?;
            let seen = metrics.lines().find_map(|line| line.strip_prefix(SEEN)?.trim().parse::<f64>().ok());
            #[expect(clippy::cast_precision_loss, reason = "no stream comes near 2^52 events")]
            (seen? >= sequence as f64).then_some(())
        })
        .await;
    }

    /// Seconds that the processors have spent on it.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let threads = std::fs::read_dir(self.about("task")?).context("listing the threads of a server")?;
        let mut nanoseconds = 0.0;
        for thread in threads {
            let path = thread.context("listing the threads of a server")?.path().join("schedstat");
            let text = std::fs::read_to_string(path).context("reading the time of a thread")?;
            let on_cpu = text.split(' ').next().unwrap_or_default();
            nanoseconds += on_cpu.parse::<f64>().context("schedstat begins with nanoseconds")?;
        }
        ensure!(
            nanoseconds > 0.0,
            "this kernel does not count the time of threads: CONFIG_SCHED_INFO is off"
        );
        Ok(nanoseconds / 1e9)
    }

    /// Memory that it has now, in kB.
    pub fn resident_kb(&self) -> anyhow::Result<f64> {
        let status =
            std::fs::read_to_string(self.about("status")?).context("reading the memory of a server")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
        resident.and_then(|resident| resident.trim().parse().ok()).context("Linux tells the resident memory")
    }

    fn about(&self, file: &str) -> anyhow::Result<PathBuf> {
        let id = self.process.id().context("a server has ended")?;
        Ok(format!("/proc/{id}/{file}").into())
    }
}
