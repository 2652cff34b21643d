//! What every binary needs to start: configuration, telemetry, health, shutdown, HTTP, the NATS connection,
//! and provisioning.
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
