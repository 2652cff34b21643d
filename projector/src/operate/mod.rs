//! The interface for operators: the command line, the server of operator commands from the API, status and metrics.

pub(crate) mod cli;
pub(crate) mod meter;
pub(crate) mod server;
pub mod status;
