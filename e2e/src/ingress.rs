//! A single ingress, for tests of its connection to NATS.

use serde_json::Value;
use tempfile::TempDir;
use testkit::{eventually, free_port};

use crate::nats::Nats;
use crate::process::Process;
use crate::settings::{Environment, local};

/// A running ingress that accepts unsigned webhooks.
pub struct Ingress {
    /// The process.
    pub process: Process,
    /// Its base URL.
    pub url: String,
    _directory: TempDir,
}

impl Ingress {
    /// Starts an ingress that connects as `user`. `change` edits its environment variables first.
    pub fn start(nats: &Nats, user: &str, change: impl Fn(&mut Environment)) -> Self {
        let directory = tempfile::tempdir().expect("creating a directory");
        let port = free_port();
        let mut environment = nats.environment(user);
        environment.push(("INGRESS_LISTEN", format!("127.0.0.1:{port}")));
        environment.push(("WEBHOOK_ALLOW_UNSIGNED", "true".to_owned()));
        change(&mut environment);
        let process = Process::start("ingress", directory.path(), environment);
        Self { process, url: local(port), _directory: directory }
    }

    /// Waits until `/readyz` reports a failure of the NATS connection that contains this text.
    pub async fn reports_nats_failure(&self, text: &str) {
        eventually(&format!("readiness says {text:?}: {}", self.process.log()), || async {
            let answer = reqwest::get(format!("{}/readyz", self.url)).await.ok()?;
            let failures: Value = answer.json().await.ok()?;
            failures["nats"].as_str()?.contains(text).then_some(())
        })
        .await;
    }
}
