//! JetStream as this system uses it: conditional publishes, atomic batches, the event log, and projections.
//!
//! [`log::EventLog`] appends events at an expected position, reads and follows them. [`views`] reads and writes the
//! buckets of projections, [`replica::Replica`] keeps one in memory. [`inbox`] holds deliveries, and [`operations`]
//! what operators have done. Only [`publish`] interprets JetStream's answers to publishes, by their error codes.
//!
//! ```no_run
//! use domain::key::Entity;
//! use runtime::nats::Nats;
//! use store::log::EventLog;
//!
//! /// The sequence of user 42's newest event, if there is one: the position to append the next event at.
//! async fn position(nats: &Nats) -> anyhow::Result<Option<u64>> {
//!     let newest = EventLog::open(nats).await?.newest(Entity::User(42)).await?;
//!     Ok(newest.map(|message| message.sequence))
//! }
//! ```
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
