//! What authentik-events knows and decides, without any input or output.
//!
//! A [`hint::Hint`] says that something may have happened; the [`rule`] compares what is recorded
//! with what authentik says and decides which [`event`]s make them agree; a [`view`] is folded from
//! those events. This crate has no clock, no network and no runtime: time and ids are arguments.
#![warn(missing_docs)]

pub mod command;
pub mod decide;
pub mod event;
pub mod hint;
pub mod history;
pub mod key;
pub mod operation;
pub mod rule;
pub mod snapshot;
pub mod status;
pub mod timestamp;
pub mod view;
