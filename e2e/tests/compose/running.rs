//! Runs services of a Compose file as local processes, with the file's commands, environments and health
//! checks. Names of services become loopback addresses, and paths in containers become local paths.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use e2e::process::binary;
use tempfile::TempDir;
use testkit::free_port;
use testkit::wait::DEADLINE;
use tokio::process::{Child, Command};

use crate::file::{Compose, Service, Variables, root};

/// Ports in containers that the files do not contain.
const NATS_PORTS: [u16; 3] = [4222, 6222, 8222];
const AUTHENTIK_PORT: u16 = 9000;
const FRONTEND_PORT: u16 = 8080;

/// A running installation; its processes are killed on drop.
pub struct Running {
    pub compose: Compose,
    /// Local port by service and port in the container.
    ports: BTreeMap<(String, u16), u16>,
    children: BTreeMap<String, Child>,
    directory: TempDir,
}

impl Running {
    /// Assigns ports, but starts nothing yet.
    pub fn new(compose: Compose) -> Self {
        let mut ports = BTreeMap::new();
        for service in compose.services() {
            for port in ports_of(service) {
                ports.insert((service.name.to_owned(), port), free_port());
            }
        }
        let directory = tempfile::tempdir().unwrap();
        Self { compose, ports, children: BTreeMap::new(), directory }
    }

    /// Local port of a service's port.
    pub fn port(&self, service: &str, port: u16) -> u16 {
        self.ports[&(service.to_owned(), port)]
    }

    pub fn url(&self, service: &str, port: u16) -> String {
        format!("http://127.0.0.1:{}", self.port(service, port))
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A service's environment, with local addresses and paths.
    pub fn environment(&self, name: &str) -> Variables {
        let service = self.compose.service(name);
        service.environment().into_iter().map(|(key, value)| (key, self.here(service, &value))).collect()
    }

    /// Replaces addresses and paths in a text of a service by local ones.
    pub fn here(&self, service: Service, text: &str) -> String {
        let mut text = text.to_owned();
        for ((name, port), local) in &self.ports {
            let own = [format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}")];
            let spellings = if name == service.name { &own[..] } else { &[] };
            // A plain replacement is safe, because no service's name is the end of another service's name.
            for spelling in spellings.iter().chain([&format!("{name}:{port}")]) {
                text = text.replace(spelling, &format!("127.0.0.1:{local}"));
            }
        }
        for (source, target) in service.volumes() {
            let source = if source.starts_with('.') { root().join(source) } else { self.volume(source) };
            if text.starts_with(target) {
                text = text.replacen(target, &source.display().to_string(), 1);
            }
        }
        text
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a NATS node with the command in the file.
    pub fn start_nats(&mut self, name: &str) {
        let service = self.compose.service(name);
        let mut words = service.list("command").into_iter().map(|word| self.here(service, word));
        assert_eq!(words.next().as_deref(), Some("nats-server"));
        let mut command = Command::new(testkit::nats::binary());
        command.args(words);
        // Containers have addresses of their own; here all nodes share one and differ in ports.
        let [client, cluster, monitor] = NATS_PORTS.map(|port| self.port(name, port).to_string());
        command.args(["--addr", "127.0.0.1", "--port", &client, "--http_port", &monitor]);
        if service.environment().contains_key("NATS_ROUTES") {
            command.arg("--cluster").arg(format!("nats://127.0.0.1:{cluster}"));
        }
        let environment = self.environment(name);
        self.spawn(name, command, environment);
    }

    /// Starts a binary of this workspace.
    pub fn start_ours(&mut self, name: &str) {
        let environment = self.environment(name);
        self.spawn(name, Command::new(binary(name)), environment);
    }

    /// Starts a program with exactly this environment.
    pub fn spawn(&mut self, name: &str, mut command: Command, environment: Variables) {
        let log = File::create(self.log_file(name)).unwrap();
        command.env_clear().envs(environment).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}; run `make test`"));
        self.children.insert(name.to_owned(), child);
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    /// Whether the health check in the file succeeds, and its standard error.
    pub async fn is_healthy(&self, name: &str) -> (bool, String) {
        let service = self.compose.service(name);
        let words: Vec<_> = service.healthcheck().into_iter().map(|word| self.here(service, word)).collect();
        assert_eq!(words[0], "CMD");
        let mut command = match words[1].strip_prefix("/usr/local/bin/") {
            Some(ours) => Command::new(binary(ours)),
            None => Command::new(&words[1]),
        };
        // Docker runs the health check in the container, with exactly the container's environment.
        command.args(&words[2..]).env_clear().envs(self.environment(name)).env("PATH", "/usr/bin:/bin");
        let output = command.current_dir(self.directory.path()).stdin(Stdio::null()).output().await.unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Waits until the health check in the file succeeds.
    pub async fn healthy(&self, name: &str) {
        let start = Instant::now();
        loop {
            let (is_healthy, stderr) = self.is_healthy(name).await;
            if is_healthy {
                return;
            }
            let log = std::fs::read_to_string(self.log_file(name)).unwrap_or_default();
            assert!(start.elapsed() < DEADLINE, "{name} is not healthy: {stderr}\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The ports on which a service listens in its container.
fn ports_of(service: Service) -> Vec<u16> {
    let listen = service.environment().into_iter().find(|(name, _)| name.ends_with("_LISTEN"));
    if let Some((_, listen)) = listen {
        return vec![
            listen
                .strip_prefix("0.0.0.0:")
                .expect("a service must listen on all interfaces of its container")
                .parse()
                .unwrap(),
        ];
    }
    match service.name {
        "authentik-server" => vec![AUTHENTIK_PORT],
        "frontend" => vec![FRONTEND_PORT],
        name if name.starts_with("nats") => NATS_PORTS.to_vec(),
        _ => vec![],
    }
}
