//! What tests share: a real nats-server each, recorded requests of a real authentik, waiting for conditions.
//!
//! Everything here panics with a clear text where a test cannot go on.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up must fail, and say why")]
#![warn(missing_docs)]

pub mod cluster;
pub mod events;
pub mod nats;
pub mod port;
pub mod recordings;
pub mod wait;

pub use cluster::NatsCluster;
pub use nats::NatsServer;
pub use port::free_port;
pub use wait::eventually;
