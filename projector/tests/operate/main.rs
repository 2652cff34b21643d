//! The interface for operators: rebuild, verify, forget, dead letters and status, and the operator commands.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod cli;
mod dead_letters;
mod forget;
mod operator_commands;
mod rebuild;
#[path = "../support/service.rs"]
mod service;
mod support;
