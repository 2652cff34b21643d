//! Settings of `standalone`.

use std::path::PathBuf;

use clap::Parser;
use runtime::config::TelemetryConfig;

/// Runs everything in one process: ingress, projector, api, front end and a simulator of authentik, with nats-server.
#[derive(Clone, Debug, Parser)]
#[command(name = "standalone", version)]
pub struct Config {
    /// Settings of logging.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// Directory for all data. Remove it to start with an empty installation.
    #[arg(long, env = "STANDALONE_DATA_DIR", default_value = ".data")]
    pub data_dir: PathBuf,
    /// Path of the nats-server to start; `scripts/get-nats-server` downloads one.
    #[arg(long, env = "NATS_SERVER", default_value = "nats-server")]
    pub nats_server: PathBuf,
    /// Directory of the built front end; `make run` builds it.
    #[arg(long, env = "API_STATIC_DIR", default_value = "frontend/dist")]
    pub static_dir: PathBuf,
    /// Port of front end and API.
    #[arg(long, env = "STANDALONE_PORT", default_value_t = 3000)]
    pub port: u16,
    /// Port of the simulator of authentik.
    #[arg(long, env = "STANDALONE_AUTHENTIK_PORT", default_value_t = 9000)]
    pub authentik_port: u16,
    /// Port of the ingress.
    #[arg(long, env = "STANDALONE_INGRESS_PORT", default_value_t = 8080)]
    pub ingress_port: u16,
    /// Port of the projector's health and metrics.
    #[arg(long, env = "STANDALONE_PROJECTOR_PORT", default_value_t = 8081)]
    pub projector_port: u16,
    /// Port of nats-server.
    #[arg(long, env = "STANDALONE_NATS_PORT", default_value_t = 4222)]
    pub nats_port: u16,
    /// Token with all permissions in the simulator's REST API, for `curl`.
    #[arg(long, env = "SIMULATOR_ADMIN_TOKEN", default_value = "admin-token")]
    pub admin_token: String,
    /// Lifetime of the simulator's access tokens in seconds; the front end renews them.
    #[arg(long, env = "SIMULATOR_ACCESS_TOKEN_SECONDS", default_value_t = 600)]
    pub access_token_seconds: u32,
}
