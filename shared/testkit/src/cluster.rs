//! A cluster of three real nats-servers for one test, configured by `nats/cluster.conf`.

use std::fmt::Write;
use std::fs::File;
use std::path::Path;

use domain::key::Namespace;
use runtime::nats::Nats;
use tempfile::TempDir;
use tokio::process::Child;

use crate::nats::{command, connect, password, provisioned, signal};
use crate::port::free_port;
use crate::wait::eventually;

/// Number of nodes in a cluster, and of replicas of each stream.
pub const N_NODES: usize = 3;

/// Three nats-servers with the shipped configuration on free ports. They are killed and their data removed on drop.
///
/// Methods name a node by its index, from 0 to `N_NODES - 1`.
pub struct NatsCluster {
    directory: TempDir,
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    port: u16,
    cluster_port: u16,
    monitor_port: u16,
    process: Option<Child>,
}

impl NatsCluster {
    /// Starts all nodes and waits until JetStream works on each.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("creating a directory for nats-server");
        let node = |n| Node {
            name: format!("nats-{n}"),
            port: free_port(),
            cluster_port: free_port(),
            monitor_port: free_port(),
            process: None,
        };
        let mut cluster = Self { directory, nodes: (1..=N_NODES).map(node).collect() };
        cluster.restart_all().await;
        cluster
    }

    /// URLs of all nodes, separated by commas.
    pub fn url(&self) -> String {
        let urls: Vec<_> = (0..N_NODES).map(|node| self.node_url(node)).collect();
        urls.join(",")
    }

    /// URL of one node. A client learns of the other nodes once it is connected.
    pub fn node_url(&self, node: usize) -> String {
        format!("nats://127.0.0.1:{}", self.nodes[node].port)
    }

    /// `host:port` at which a node listens for the other nodes.
    pub fn route_address(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.nodes[node].cluster_port)
    }

    /// URL of a node's HTTP monitoring.
    pub fn monitor_url(&self, node: usize) -> String {
        format!("http://127.0.0.1:{}", self.nodes[node].monitor_port)
    }

    /// Kills a node (SIGKILL), like a power cut. Its data remain.
    pub async fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.nodes[node].process.take() {
            process.kill().await.expect("killing nats-server");
        }
    }

    /// Kills every node (SIGKILL).
    pub async fn kill_all(&mut self) {
        for node in 0..N_NODES {
            self.kill(node).await;
        }
    }

    /// Suspends a node (SIGSTOP), like a machine that hangs.
    pub async fn pause(&self, node: usize) {
        self.signal(node, "STOP").await;
    }

    /// Resumes a suspended node (SIGCONT).
    pub async fn resume(&self, node: usize) {
        self.signal(node, "CONT").await;
    }

    async fn signal(&self, node: usize, name: &str) {
        signal(self.nodes[node].process.as_ref().expect("the node is running"), name).await;
    }

    /// Starts a node with its ports and data, without waiting for it. A running node is killed first.
    pub async fn restart(&mut self, node: usize) {
        self.kill(node).await;
        let routes = self.routes();
        self.nodes[node].start(self.directory.path(), &routes);
    }

    /// Kills every node, starts all, and waits until all are current.
    pub async fn restart_all(&mut self) {
        self.kill_all().await;
        for node in 0..N_NODES {
            self.restart(node).await;
        }
        self.all_current().await;
    }

    /// Waits until a node is current: it knows JetStream's leader and has caught up with each stream that it replicates.
    pub async fn current(&self, node: usize) {
        let url = format!("{}/healthz", self.monitor_url(node));
        eventually(&format!("node {node} is current"), || async {
            reqwest::get(&url).await.ok()?.status().is_success().then_some(())
        })
        .await;
    }

    /// Waits until every node is current.
    pub async fn all_current(&self) {
        for node in 0..N_NODES {
            self.current(node).await;
        }
    }

    /// Waits until a stream has a leader, and returns its node.
    pub async fn leader(&self, nats: &Nats, stream: &str) -> usize {
        eventually(&format!("{stream} has a leader"), || async {
            let info = nats.jetstream.get_stream(stream).await.ok()?;
            let leader = info.cached_info().cluster.as_ref()?.leader.clone()?;
            self.nodes.iter().position(|node| node.name == leader)
        })
        .await
    }

    /// Connects as the administrator to any node that answers.
    pub async fn connect(&self) -> Nats {
        connect(self.url(), Namespace::default()).await
    }

    /// Connects, creates streams and buckets on three nodes, and waits until all nodes have them.
    pub async fn provisioned(&self) -> Nats {
        let nats = self.connect().await;
        provisioned(&nats, N_NODES).await;
        self.all_current().await;
        nats
    }

    fn routes(&self) -> String {
        let mut routes = String::new();
        for node in &self.nodes {
            write!(routes, "{},", node.route()).expect("writing to a string");
        }
        format!("[{routes}]")
    }
}

impl Node {
    /// URL for the other nodes, with user and password.
    fn route(&self) -> String {
        format!("nats://route:{}@127.0.0.1:{}", password("route"), self.cluster_port)
    }

    fn start(&mut self, directory: &Path, routes: &str) {
        let log = File::options().create(true).append(true).open(directory.join(&self.name));
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nats/cluster.conf");
        let store_dir = directory.join(format!("store-{}", self.name));
        let process = command(&config, self.port, &store_dir, log.expect("opening a log file"))
            .args(["--http_port", &self.monitor_port.to_string()])
            .args(["--cluster", &self.route()])
            .env("NATS_NODE", &self.name)
            .env("NATS_ROUTES", routes)
            .spawn();
        self.process = Some(process.expect("starting nats-server"));
    }
}
