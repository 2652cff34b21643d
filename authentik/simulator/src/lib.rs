//! A stand-in for authentik 2026.2.2, for development and tests.
//!
//! It answers the parts of authentik's REST API and `OAuth2` provider that this project uses, sends the
//! webhooks that its blueprint configures, and fails in the ways in which authentik fails: webhooks come
//! late, twice, in the wrong order or not at all. What it does follows recordings of a real authentik,
//! against which `tests/` hold it.
//!
//! Everybody may do everything at `/_control/`, passwords are kept in clear and there are no limits:
//! never run it where others can reach it.
//!
//! A request goes from the server as a plain value to a plain function; that changes the
//! state by rows, which are also the lines of the journal; events among them become deliveries, which
//! the sender takes in random order.

mod blueprint;
mod call;
mod clock;
mod config;
mod control;
mod hash;
mod journal;
mod json;
mod oidc;
mod rest;
mod seed;
mod server;
mod store;
mod webhook;
mod world;

pub use config::{Config, Secret};
pub use server::{Simulator, bind, run};
