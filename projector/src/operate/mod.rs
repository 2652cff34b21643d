//! The interface for operators: command line, server of operator commands from the API, status, metrics.

pub(crate) mod cli;
pub(crate) mod meter;
pub(crate) mod server;
pub mod status;
