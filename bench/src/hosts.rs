//! The systems around this one: NATS and authentik.

use anyhow::Context;
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::json;
use testkit::NatsServer;

/// Storage settings of the shipped `nats/nats-server.conf`.
const SHIPPED: &str = "jetstream { sync_interval: always }\nmax_payload: 1MB\n";

/// Storage settings of NATS itself: it acknowledges messages before they are on disk.
const UNSYNCED: &str = "max_payload: 1MB\n";

const API_TOKEN: &str = "reader-token";
const ADMIN_TOKEN: &str = "admin-token";
/// The simulator's administrator.
const ADMIN: &str = "akadmin";

/// Starts a nats-server that acknowledges messages once they are on disk, and creates all streams.
pub async fn nats() -> (NatsServer, Nats) {
    nats_with(SHIPPED).await
}

/// Starts a nats-server with its default `sync_interval`, and creates all streams.
pub async fn unsynced_nats() -> (NatsServer, Nats) {
    nats_with(UNSYNCED).await
}

async fn nats_with(settings: &str) -> (NatsServer, Nats) {
    let server = NatsServer::start_with(settings).await;
    let nats = server.provisioned().await;
    (server, nats)
}

/// authentik's simulator in this process. It sends no webhooks.
pub struct Authentik {
    /// A client with the administrator's token.
    pub admin: e2e::Authentik,
    url: String,
    shutdown: CancellationToken,
}

impl Authentik {
    /// Starts the simulator.
    pub async fn start() -> anyhow::Result<Self> {
        let config = simulator::Config {
            listen: ([127, 0, 0, 1], 0).into(),
            api_token: Some(API_TOKEN.into()),
            admin_token: Some(ADMIN_TOKEN.into()),
            // Longer than any benchmark takes.
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

    /// `iss` of the tokens that it issues.
    pub fn issuer(&self) -> String {
        format!("{}/application/o/authentik-events/", self.url)
    }

    /// Options of a projector that reads from it.
    pub fn reader_flags(&self) -> [String; 2] {
        [format!("--authentik-url={}", self.url), format!("--authentik-token={API_TOKEN}")]
    }

    /// A new access token of the administrator, who may read everything.
    pub async fn token(&self) -> String {
        self.admin.token(ADMIN).await
    }

    /// Delays each answer of the REST API by this many milliseconds.
    pub async fn delay(&self, milliseconds: u64) {
        self.admin.faults(json!({"rest_delay_ms": milliseconds})).await;
    }
}

impl Drop for Authentik {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
