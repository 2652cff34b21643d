//! What operators use: the command line, the commands that the API sends, status and metrics.

pub(crate) mod cli;
pub(crate) mod meter;
pub(crate) mod server;
pub mod status;
