//! The read API and the live feed, over projections in memory.
//!
//! Nothing here writes but hints: all else is loaded from the projections and moved on by the log of events. What an
//! operator wants changed is asked of the projectors.

mod answer;
mod caller;
mod config;
mod cursor;
mod feed;
mod hints;
mod limits;
mod live;
mod network;
mod people;
mod projectors;
mod refused;
mod routes;
mod server;
mod start;
mod tail;
mod token;
mod web;

pub use config::Config;
pub use server::{Api, run};
