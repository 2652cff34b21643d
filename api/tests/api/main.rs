//! Tests of the API over HTTP, with a real nats-server and a fake identity provider.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod contract;
mod feed;
mod history;
mod list_then_stream;
mod me;
mod operator;
mod outage;
mod proxy;
mod reads;
mod revocation;
mod slow;
mod support;
mod tokens;
mod web;
