//! Compares the simulator with recordings of authentik 2026.2.2, and tests its control routes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot continue has failed")]

mod control;
mod delivery;
mod events;
mod notifications;
mod oidc;
mod oidc_errors;
mod persistence;
mod rest;
mod shape;
mod sign_out;
mod support;
mod users;
