//! A stand-in for authentik 2026.2.2, for development and tests.
//!
//! It serves the parts of authentik's REST API and `OAuth2` provider that this project uses, and sends the
//! webhooks that the blueprint configures. It also reproduces how authentik delivers them: webhooks arrive
//! late, twice, out of order or never. Its behaviour follows recordings of a real authentik, and the tests
//! in `tests/contract` compare it with them.
//!
//! **Never expose it to other machines.** Anybody may use the routes under `/_control/`, passwords are stored
//! in clear text, and nothing is rate limited.
//!
//! # Main types
//!
//! - [`Config`]: the settings, as flags, environment variables or a struct.
//! - [`bind`] opens the state and the address; [`Simulator::serve`] then serves until shutdown.
//! - [`run`] does both.
//!
//! # Example
//!
//! ```
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main]
//! # async fn main() -> anyhow::Result<()> {
//! let config = simulator::Config {
//!     listen: ([127, 0, 0, 1], 0).into(),
//!     admin_token: Some("admin-token".into()),
//!     ..simulator::Config::default()
//! };
//! let simulator = simulator::bind(config).await?;
//! let users = format!("http://{}/api/v3/core/users/", simulator.local_addr());
//! let shutdown = CancellationToken::new();
//! let serving = tokio::spawn(simulator.serve(shutdown.clone()));
//!
//! let response = reqwest::Client::new().get(users).bearer_auth("admin-token").send().await?;
//! assert!(response.status().is_success());
//!
//! shutdown.cancel();
//! serving.await?
//! # }
//! ```
//!
//! # Control routes
//!
//! | route | effect |
//! |---|---|
//! | `GET /_control/state` | Shows all users, groups, faults, and the number of events and deliveries. |
//! | `GET /_control/reads` | Shows how many times REST was asked for one user by key. |
//! | `POST /_control/faults` | Changes the given faults, such as `{"rest_status": 503}`, and shows all. |
//! | `POST /_control/silent` | Changes users and groups without events: `{"op": "delete_user", "pk": 8}`. |
//! | `POST /_control/emit` | Records an event, such as `{"action": "login", "user_pk": 8}`. |
//! | `POST /_control/token` | Issues tokens without a browser, for example for `{"username": "grace"}`. |
//!
//! # How a request is handled
//!
//! The server reads each request completely into a `Call`. A plain function turns the call into a response.
//! State changes only by rows, and each row is also one line of the journal. When a row is an event that the
//! notification rule sends, a delivery is queued, and the sender posts due deliveries in random order.

mod blueprint;
mod call;
mod clock;
mod config;
mod configuration;
mod control;
mod faults;
mod hash;
mod journal;
mod json;
mod oidc;
mod provider;
mod rest;
mod seed;
mod server;
mod store;
mod webhook;
mod world;

pub use config::{Config, Secret};
pub use server::{Simulator, bind, run};
