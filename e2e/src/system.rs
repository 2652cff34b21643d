//! A whole installation: nats-server, simulator, ingresses, projectors and an API, each as a process.

use reqwest::{Client, Method, Response};
use serde_json::Value;
use tempfile::TempDir;
use testkit::free_port;
use tokio::process::Child;

use crate::nats::Nats;
use crate::process::Process;
use crate::settings::{ADMIN_TOKEN, Environment, api, ingress, local, projector, simulator};
use crate::webhooks::{Spread, Webhooks};
use crate::{Authentik, Feed, clock};

/// Settings of an installation.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Number of ingresses.
    pub n_ingresses: usize,
    /// Number of projectors.
    pub n_projectors: usize,
    /// How webhooks are distributed to the ingresses.
    pub spread: Spread,
    /// URL that authentik posts webhooks to, if not to the ingresses.
    pub webhook_url: Option<String>,
    /// Seconds that the ingresses' clocks are ahead; negative if behind.
    pub ingress_ahead: i64,
    /// Seconds that the projectors' clocks are ahead; negative if behind.
    pub projector_ahead: i64,
    /// Seconds that authentik's clock is ahead; negative if behind.
    pub authentik_ahead: i64,
    /// Seconds between sweeps; 0 turns off both sweeps and the reading of authentik's event log.
    pub sweep_interval: u32,
    /// `RUST_LOG` of all processes.
    pub log_filter: &'static str,
    /// Additional environment variables of the API.
    pub api_settings: Environment,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            n_ingresses: 1,
            n_projectors: 1,
            spread: Spread::InTurn,
            webhook_url: None,
            ingress_ahead: 0,
            projector_ahead: 0,
            authentik_ahead: 0,
            sweep_interval: 2,
            log_filter: "info,poem=warn",
            api_settings: vec![],
        }
    }
}

/// A whole installation.
pub struct System {
    /// The NATS servers.
    pub nats: Nats,
    /// Client of authentik, as an administrator.
    pub authentik: Authentik,
    /// Forwards authentik's webhooks to the ingresses.
    pub webhooks: Webhooks,
    /// Base URL of each ingress.
    pub ingress_urls: Vec<String>,
    /// Base URL of the API.
    pub api_url: String,
    simulator: Process,
    ingresses: Vec<Process>,
    projectors: Vec<Process>,
    /// Base URL of each projector's health and metrics.
    pub projector_urls: Vec<String>,
    api: Process,
    // The last field, so that the directory is removed after all processes have ended.
    directory: TempDir,
}

impl System {
    /// Starts one process of each kind and waits until all are ready.
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// Starts all processes with these settings and waits until all are ready.
    pub async fn start_with(setup: Setup) -> Self {
        Self::start_on(Nats::server().await, setup).await
    }

    /// Like [`System::start_with`], on these NATS servers and in their namespace.
    pub async fn start_on(nats: Nats, setup: Setup) -> Self {
        let directory = tempfile::tempdir().expect("creating a directory");
        let ports = |n| (0..n).map(|_| free_port()).collect::<Vec<_>>();
        let (ingress_ports, projector_ports) = (ports(setup.n_ingresses), ports(setup.n_projectors));
        let (authentik_port, api_port) = (free_port(), free_port());
        let authentik_url = local(authentik_port);
        let webhooks =
            Webhooks::forward_to(ingress_ports.iter().copied().map(local).collect(), setup.spread).await;
        let webhook_url = setup.webhook_url.unwrap_or_else(|| webhooks.url.clone());
        let ingress_clock = clock::ahead_by(setup.ingress_ahead, directory.path());
        let ingress = |port| [ingress(port, &nats), ingress_clock.clone()].concat();
        let projector_clock = clock::ahead_by(setup.projector_ahead, directory.path());
        let projector = |port| {
            [projector(port, &nats, &authentik_url, setup.sweep_interval), projector_clock.clone()].concat()
        };
        let mut authentik = simulator(authentik_port, webhook_url, directory.path());
        authentik.extend(clock::ahead_by(setup.authentik_ahead, directory.path()));
        let start = |name, mut environment: Environment| {
            environment.push(("RUST_LOG", setup.log_filter.to_owned()));
            Process::start(name, directory.path(), environment)
        };
        let system = Self {
            simulator: start("simulator", authentik),
            ingresses: ingress_ports.iter().map(|port| start("ingress", ingress(*port))).collect(),
            projectors: projector_ports.iter().map(|port| start("projector", projector(*port))).collect(),
            api: start("api", [api(api_port, &nats, &authentik_url), setup.api_settings].concat()),
            webhooks,
            ingress_urls: ingress_ports.into_iter().map(local).collect(),
            projector_urls: projector_ports.into_iter().map(local).collect(),
            authentik: Authentik::new(authentik_url, ADMIN_TOKEN.to_owned()),
            api_url: local(api_port),
            nats,
            directory,
        };
        system.ready().await;
        system
    }

    /// Waits until every process is ready.
    pub async fn ready(&self) {
        for (ingress, url) in self.ingresses.iter().zip(&self.ingress_urls) {
            ingress.ready(url).await;
        }
        self.api.ready(&self.api_url).await;
        let client = Client::new();
        for url in &self.projector_urls {
            testkit::eventually("the projector is alive", || async {
                client.get(format!("{url}/healthz")).send().await.ok()?.status().is_success().then_some(())
            })
            .await;
        }
    }

    /// Kills (SIGKILL) and restarts one process, chosen by `which` modulo their number. Returns its name.
    pub async fn crash(&mut self, which: usize) -> &'static str {
        let n_workers = self.ingresses.len() + self.projectors.len();
        match which % (n_workers + 3) {
            0 => self.nats.restart().await,
            1 => self.simulator.restart().await,
            2 => self.api.restart().await,
            n => {
                let mut workers = self.ingresses.iter_mut().chain(&mut self.projectors);
                workers.nth(n - 3).expect("the remainder is a valid index").restart().await;
            }
        }
        ["nats-server", "simulator", "api"].get(which % (n_workers + 3)).copied().unwrap_or("a worker")
    }

    /// Kills all projectors.
    pub async fn kill_projectors(&mut self) {
        for projector in &mut self.projectors {
            projector.kill().await;
        }
    }

    /// Restarts all projectors and waits until they are alive.
    pub async fn restart_projectors(&mut self) {
        for projector in &mut self.projectors {
            projector.restart().await;
        }
        self.ready().await;
    }

    /// Starts a command of the projector's CLI on this installation; killed on drop.
    pub fn start_command(&self, arguments: &[&str]) -> Child {
        self.projectors[0].start_command(arguments)
    }

    /// Runs a command of the projector's CLI. Returns exit status, standard output and standard error.
    pub async fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.start_command(arguments).wait_with_output().await.expect("waiting for a command");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().expect("an exit status"), text(&output.stdout), text(&output.stderr))
    }

    /// Terminates ingresses, projectors and the API at once. Fails the test if one does not exit in time.
    pub async fn terminate(&mut self) {
        let workers = self.ingresses.iter_mut().chain(&mut self.projectors).chain([&mut self.api]);
        futures_util::future::join_all(workers.map(Process::terminate)).await;
    }

    /// Kills and restarts every process, nats-server and authentik included.
    pub async fn restart_everything(&mut self) {
        for process in self.ingresses.iter_mut().chain(&mut self.projectors) {
            process.kill().await;
        }
        self.api.kill().await;
        self.simulator.kill().await;
        self.nats.restart().await;
        self.simulator.restart().await;
        for process in self.ingresses.iter_mut().chain(&mut self.projectors) {
            process.restart().await;
        }
        self.api.restart().await;
        self.ready().await;
    }

    /// Kills and restarts the API.
    pub async fn restart_api(&mut self) {
        self.api.restart().await;
    }

    /// Kills all ingresses.
    pub async fn kill_ingresses(&mut self) {
        for ingress in &mut self.ingresses {
            ingress.kill().await;
        }
    }

    /// Restarts all ingresses.
    pub async fn restart_ingresses(&mut self) {
        for ingress in &mut self.ingresses {
            ingress.restart().await;
        }
    }

    /// Terminates one ingress and restarts it with these additional environment variables.
    pub async fn restart_ingress_with(&mut self, which: usize, variables: &[(&'static str, &str)]) {
        let (ingress, url) = (&mut self.ingresses[which], &self.ingress_urls[which]);
        ingress.terminate().await;
        ingress.restart_with(variables).await;
        ingress.ready(url).await;
    }

    /// Terminates one projector and restarts it with these additional environment variables.
    pub async fn restart_projector_with(&mut self, which: usize, variables: &[(&'static str, &str)]) {
        let (projector, url) = (&mut self.projectors[which], &self.projector_urls[which]);
        projector.terminate().await;
        projector.restart_with(variables).await;
        projector.ready(url).await;
    }

    /// Kills authentik and restarts it with these additional environment variables.
    pub async fn restart_authentik_with(&mut self, variables: &[(&'static str, &str)]) {
        self.simulator.restart_with(variables).await;
    }

    /// Replaces authentik with a fresh installation.
    pub async fn replace_authentik(&mut self) {
        self.simulator.kill().await;
        std::fs::remove_dir_all(self.directory.path().join("authentik")).expect("removing authentik's state");
        self.simulator.set("SIMULATOR_FRESH", "true");
        self.simulator.restart().await;
    }

    /// Runs a command of the projector's CLI, which must succeed. Returns the JSON that it prints.
    pub async fn operate(&self, arguments: &[&str]) -> Value {
        let (status, stdout, stderr) = self.command(&[arguments, &["--json"]].concat()).await;
        assert_eq!(status, 0, "{arguments:?}: {stderr}");
        serde_json::from_str(&stdout).expect("a command with --json prints JSON")
    }

    /// Logs and metrics of ingresses, projectors and the API.
    pub async fn logs_and_metrics(&self) -> String {
        let processes = self.ingresses.iter().chain(&self.projectors).chain([&self.api]);
        let mut text: String = processes.map(Process::log).collect();
        for url in self.ingress_urls.iter().chain(&self.projector_urls).chain([&self.api_url]) {
            let metrics = reqwest::get(format!("{url}/metrics")).await.expect("a process serves its metrics");
            text.push_str(&metrics.text().await.expect("metrics are text"));
        }
        text
    }

    /// The first projector's answer to `/readyz`; empty if it does not answer.
    pub async fn projector_readiness(&self) -> String {
        match reqwest::get(format!("{}/readyz", self.projector_urls[0])).await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// The feed of all events, as an administrator.
    pub async fn feed(&self) -> Feed {
        Feed::from_the_beginning(&self.api_url, self.authentik.token("akadmin").await)
    }

    /// Sends a GET request to the API as this user. Returns status and body.
    pub async fn get(&self, path: &str, username: &str) -> (u16, Value) {
        let token = self.authentik.token(username).await;
        let answer = self.call(Method::GET, path, Some(&token)).await;
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    /// Sends a request without body to the API with this token.
    pub async fn call(&self, method: Method, path: &str, token: Option<&str>) -> Response {
        let request = Client::new().request(method, format!("{}{path}", self.api_url));
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}
