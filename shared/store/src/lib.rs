//! JetStream as this system uses it: conditional publishes and atomic batches, the log of events, and views.
//!
//! Everything that depends on an answer of the server is decided by its error code, in [`publish`].
#![warn(missing_docs)]

pub mod follow;
pub mod generations;
pub mod history;
pub mod inbox;
pub mod log;
pub mod messages;
pub mod operations;
pub mod publish;
pub mod replica;
pub mod views;
