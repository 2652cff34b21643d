//! The start of every program: configuration, telemetry, health, shutdown, HTTP, the NATS connection, provisioning.
//!
//! [`program::main`] and [`program::service`] are the whole `main` function of a program. They call its
//! `run(config, shutdown)`, which usually connects with [`nats::Nats`], reports to [`health::Health`], and serves
//! [`http::operations`]. [`provision`] creates streams and buckets. [`clock`] is the only source of time and ids.
//!
//! ```no_run
//! use clap::Parser;
//! use runtime::config::{NatsConfig, TelemetryConfig};
//! use runtime::health::Health;
//! use runtime::nats::Nats;
//! use runtime::{CancellationToken, http};
//!
//! #[derive(Parser)]
//! struct Config {
//!     #[arg(long, env = "EXAMPLE_LISTEN", default_value = "8080")]
//!     listen: String,
//!     #[command(flatten)]
//!     nats: NatsConfig,
//!     #[command(flatten)]
//!     telemetry: TelemetryConfig,
//! }
//!
//! async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
//!     let health = Health::waiting_for(&["nats"]);
//!     let bound = http::bind(&config.listen).await?;
//!     let _nats = Nats::connect(&config.nats, "example", &health).await?;
//!     bound.serve(http::operations(&health), shutdown).await
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     runtime::program::service(&["NATS_PASSWORD"], |config: &Config| &config.telemetry, |config| &config.listen, run)
//! }
//! ```
#![warn(missing_docs)]

pub mod clock;
pub mod config;
pub mod health;
pub mod healthcheck;
pub mod http;
pub mod nats;
pub mod problem;
pub mod program;
pub mod provision;
pub mod telemetry;

pub use tokio_util::sync::CancellationToken;
