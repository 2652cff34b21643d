//! Black-box tests: the whole system as real processes, and what a test does with it.
//!
//! * [`System`] starts nats-server, authentik's simulator, ingresses, projectors and an API, and can kill and
//!   restart each of them. [`system::Setup`] says how many, and with which settings.
//! * [`Authentik`] changes users and groups as an administrator does. [`chaos::Chaos`] makes random changes
//!   from a seed.
//! * [`webhooks::Webhooks`] forwards authentik's webhooks to the ingresses and remembers every answer.
//! * [`Feed`] reads the live feed and reconnects. [`checks`] verifies what the system promises.
//!
//! The tests in `tests/` start the binaries of this workspace from `target/`, so build them first:
//!
//! ```text
//! cargo build --workspace --bins
//! NATS_SERVER=$(scripts/get-nats-server) NGINX_SERVER=$(scripts/get-nginx) cargo test -p e2e --test chaos
//! ```
//!
//! A failed chaos test prints `E2E_SEED=…`; set that variable to repeat the same changes.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up must fail, and say why")]

pub mod authentik;
pub mod backup;
pub mod chaos;
pub mod checks;
mod clock;
pub mod dead_letters;
pub mod feed;
pub mod ingress;
pub mod nats;
pub mod nginx;
pub mod process;
pub mod security;
pub mod settings;
pub mod system;
pub mod user_table;
pub mod webhooks;

pub use authentik::Authentik;
pub use feed::Feed;
pub use system::System;
