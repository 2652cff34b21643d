//! What this system stands between: NATS and authentik.

use anyhow::Context;
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::json;
use testkit::NatsServer;

/// What the shipped configuration says of storing; see `nats/nats-server.conf`.
const SHIPPED: &str = "jetstream { sync_interval: always }\nmax_payload: 1MB\n";

const API_TOKEN: &str = "reader-token";
const ADMIN_TOKEN: &str = "admin-token";
/// The simulator's administrator.
const ADMIN: &str = "akadmin";

/// A nats-server that acknowledges what is on disk, with all streams.
pub async fn nats() -> (NatsServer, Nats) {
    let server = NatsServer::start_with(SHIPPED).await;
    let nats = server.provisioned().await;
    (server, nats)
}

/// An authentik in this process, which sends no webhooks.
pub struct Authentik {
    /// Its administrator.
    pub admin: e2e::Authentik,
    url: String,
    shutdown: CancellationToken,
}

impl Authentik {
    /// Starts one.
    pub async fn start() -> anyhow::Result<Self> {
        let config = simulator::Config {
            listen: ([127, 0, 0, 1], 0).into(),
            api_token: Some(API_TOKEN.into()),
            admin_token: Some(ADMIN_TOKEN.into()),
            // Longer than any benchmark.
            access_token_seconds: 36_000,
            ..simulator::Config::default()
        };
        let simulator = simulator::bind(config).await.context("starting the simulator")?;
        let url = format!("http://{}", simulator.local_addr());
        let shutdown = CancellationToken::new();
        tokio::spawn(simulator.serve(shutdown.clone()));
        let admin = e2e::Authentik::new(url.clone(), ADMIN_TOKEN.to_owned());
        Ok(Self { admin, url, shutdown })
    }

    /// `iss` of its tokens.
    pub fn issuer(&self) -> String {
        format!("{}/application/o/authentik-events/", self.url)
    }

    /// Settings of a projector that reads from it.
    pub fn reader_flags(&self) -> [String; 2] {
        [format!("--authentik-url={}", self.url), format!("--authentik-token={API_TOKEN}")]
    }

    /// A new access token of its administrator, who may read everything.
    pub async fn token(&self) -> String {
        self.admin.token(ADMIN).await
    }

    /// Takes so many milliseconds for each answer of its REST API from now on.
    pub async fn delay(&self, milliseconds: u64) {
        self.admin.faults(json!({"rest_delay_ms": milliseconds})).await;
    }
}

impl Drop for Authentik {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
