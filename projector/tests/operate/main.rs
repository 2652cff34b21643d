//! What an operator does: rebuild, verify, forget, dead letters, status; as library and as commands.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod commands;
mod dead_letters;
mod forget;
mod rebuild;
mod served;
mod support;
