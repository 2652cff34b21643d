//! nats-server, simulator, ingresses, projectors and an API, each a process.

use std::path::Path;

use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use testkit::NatsServer;

use crate::process::{Process, free_port};
use crate::{Authentik, Feed};

const WEBHOOK_SECRET: &str = "whsec_ZTJlLXdlYmhvb2stc2VjcmV0LTAxMjM0NTY3ODlhYmM=";
const SLUG: &str = "authentik-events";
const READER_TOKEN: &str = "reader-token";
const ADMIN_TOKEN: &str = "admin-token";

type Environment = Vec<(&'static str, String)>;

/// How many of each.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Ingresses; webhooks go to the first one.
    pub n_ingresses: usize,
    /// Projectors.
    pub n_projectors: usize,
}

/// A whole installation.
pub struct System {
    /// nats-server.
    pub nats: NatsServer,
    /// authentik's administrator.
    pub authentik: Authentik,
    /// Where each ingress listens.
    pub ingress_urls: Vec<String>,
    /// Where the API listens.
    pub api_url: String,
    simulator: Process,
    ingresses: Vec<Process>,
    projectors: Vec<Process>,
    projector_urls: Vec<String>,
    api: Process,
    // Removed last, after all processes have ended.
    _directory: TempDir,
}

impl System {
    /// Starts one of each, and waits until all are ready.
    pub async fn start() -> Self {
        Self::start_with(Size { n_ingresses: 1, n_projectors: 1 }, None).await
    }

    /// Starts so many. Webhooks go to `webhook_url` if it is given, else to the first ingress.
    pub async fn start_with(size: Size, webhook_url: Option<String>) -> Self {
        let directory = tempfile::tempdir().expect("making a directory");
        let nats = NatsServer::start().await;
        let ports = |n| (0..n).map(|_| free_port()).collect::<Vec<_>>();
        let (ingress_ports, projector_ports) = (ports(size.n_ingresses), ports(size.n_projectors));
        let (authentik_port, api_port) = (free_port(), free_port());
        let authentik_url = local(authentik_port);
        let webhook_url =
            webhook_url.unwrap_or_else(|| format!("{}/authentik/webhook", local(ingress_ports[0])));
        let start = |name, environment| Process::start(name, directory.path(), environment);
        let system = Self {
            simulator: start("simulator", simulator(authentik_port, webhook_url, directory.path())),
            ingresses: ingress_ports.iter().map(|port| start("ingress", ingress(*port, &nats))).collect(),
            projectors: projector_ports
                .iter()
                .map(|port| start("projector", projector(*port, &nats, &authentik_url)))
                .collect(),
            api: start("api", api(api_port, &nats, &authentik_url)),
            ingress_urls: ingress_ports.into_iter().map(local).collect(),
            projector_urls: projector_ports.into_iter().map(local).collect(),
            authentik: Authentik::new(authentik_url, ADMIN_TOKEN.to_owned()),
            api_url: local(api_port),
            nats,
            _directory: directory,
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

    /// Kills one process (SIGKILL), whichever `which` comes to, and starts it again. Returns its name.
    pub async fn crash(&mut self, which: usize) -> &'static str {
        let n_workers = self.ingresses.len() + self.projectors.len();
        match which % (n_workers + 3) {
            0 => self.nats.restart().await,
            1 => self.simulator.restart().await,
            2 => self.api.restart().await,
            n => {
                let mut workers = self.ingresses.iter_mut().chain(&mut self.projectors);
                workers.nth(n - 3).expect("so many workers there are").restart().await;
            }
        }
        ["nats-server", "simulator", "api"].get(which % (n_workers + 3)).copied().unwrap_or("a worker")
    }

    /// Asks ingresses, projectors and the API to end, all at once. Any that does not in time fails the test.
    pub async fn terminate(&mut self) {
        let workers = self.ingresses.iter_mut().chain(&mut self.projectors).chain([&mut self.api]);
        futures_util::future::join_all(workers.map(Process::terminate)).await;
    }

    /// Kills every process, nats-server and authentik included, and starts all again.
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

    /// The feed of everything, as an administrator sees it.
    pub async fn feed(&self) -> Feed {
        Feed::from_the_beginning(&self.api_url, self.authentik.token("akadmin").await)
    }

    /// Asks the API as this user. Returns status and body.
    pub async fn ask(&self, path: &str, username: &str) -> (u16, Value) {
        let token = self.authentik.token(username).await;
        let answer = Client::new().get(format!("{}{path}", self.api_url)).bearer_auth(token).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }
}

fn local(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn simulator(port: u16, webhook_url: String, directory: &Path) -> Environment {
    vec![
        ("SIMULATOR_LISTEN", format!("127.0.0.1:{port}")),
        ("SIMULATOR_WEBHOOK_URL", webhook_url),
        ("SIMULATOR_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
        ("SIMULATOR_API_TOKEN", READER_TOKEN.to_owned()),
        ("SIMULATOR_ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
        ("SIMULATOR_STATE_DIR", directory.join("authentik").display().to_string()),
        ("SIMULATOR_RETRY_SCALE", "0.02".to_owned()),
    ]
}

fn ingress(port: u16, nats: &NatsServer) -> Environment {
    vec![
        ("NATS_URL", nats.url()),
        ("INGRESS_LISTEN", format!("127.0.0.1:{port}")),
        ("WEBHOOK_SECRETS", WEBHOOK_SECRET.to_owned()),
    ]
}

fn projector(port: u16, nats: &NatsServer, authentik_url: &str) -> Environment {
    vec![
        ("NATS_URL", nats.url()),
        ("PROJECTOR_LISTEN", format!("127.0.0.1:{port}")),
        ("AUTHENTIK_URL", authentik_url.to_owned()),
        ("AUTHENTIK_TOKEN", READER_TOKEN.to_owned()),
        ("SWEEP_INTERVAL", "2".to_owned()),
    ]
}

fn api(port: u16, nats: &NatsServer, authentik_url: &str) -> Environment {
    vec![
        ("NATS_URL", nats.url()),
        ("API_LISTEN", format!("127.0.0.1:{port}")),
        ("AUTHENTIK_ISSUER", format!("{authentik_url}/application/o/{SLUG}/")),
        ("AUTHENTIK_CLIENT_ID", SLUG.to_owned()),
    ]
}
