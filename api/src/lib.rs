//! The read API and the live feed, served from projections in memory.
//!
//! The projections are loaded from their buckets and kept current by the event log. The API itself writes only hints
//! into the inbox; it sends operator commands to the projectors.
//!
//! The modules form layers, and each depends only on earlier ones: `token`, `config`, `feed`, `state` (what requests
//! read), `projectors`, `answer` (HTTP answers and errors), `caller` (authentication and rights), `subscription` (one
//! connection to the feed), `routes`, `web`, `server`.
//!
//! [`Config`] holds the settings and [`run`] is the program. [`Api`] separates listening from serving, so that a test
//! can listen on port 0 and learn the [`Api::address`].
//!
//! ```no_run
//! use clap::Parser;
//! use runtime::CancellationToken;
//!
//! # async fn example() -> anyhow::Result<()> {
//! let issuer = "--authentik-issuer=http://127.0.0.1:9000/application/o/authentik-events/";
//! let flags = ["api", issuer, "--authentik-client-id=authentik-events"];
//! api::run(api::Config::parse_from(flags), CancellationToken::new()).await
//! # }
//! ```

mod answer;
mod caller;
mod config;
mod feed;
mod projectors;
mod routes;
mod server;
mod state;
mod subscription;
mod token;
mod web;

pub use config::Config;
pub use server::{Api, run};
