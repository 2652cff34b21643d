//! Test support: real nats-servers, recordings of a real authentik, child processes, waiting for conditions.
//!
//! [`NatsServer`] and [`NatsCluster`] give every test servers of its own. [`eventually`] waits for a condition, with a
//! deadline. [`recordings`] reads what a real authentik sent and answered. [`program`] runs our own programs.
//!
//! Everything here panics with a clear message if a step fails, so that the test fails.
//!
//! ```no_run
//! use testkit::{NatsServer, eventually};
//!
//! # async fn example() {
//! let server = NatsServer::start().await;
//! let nats = server.provisioned().await;
//! eventually("the inbox has a leader", || async { nats.inbox_has_leader().await.then_some(()) }).await;
//! # }
//! ```
#![expect(clippy::expect_used, clippy::panic, reason = "a failed step must fail the test with its reason")]
#![warn(missing_docs)]

pub mod cluster;
pub mod events;
pub mod nats;
pub mod port;
pub mod program;
pub mod recordings;
pub mod wait;

pub use cluster::NatsCluster;
pub use nats::NatsServer;
pub use port::free_port;
pub use wait::eventually;
