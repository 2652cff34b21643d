//! The ingress over real HTTP, with a real nats-server.
#![expect(clippy::unwrap_used, reason = "a failed setup, request or read must fail the test")]

mod answers;
mod limits;
mod outage;
mod program;
mod recordings;
mod service;
mod storing;
mod ways;
