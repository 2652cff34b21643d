//! The ingress over real HTTP, with a real nats-server.
#![expect(clippy::unwrap_used, reason = "what cannot be set up, sent or read must fail the test")]

mod answers;
mod limits;
mod outage;
mod program;
mod recordings;
mod service;
mod storing;
