//! Everything that the simulator remembers, and the changes to it with the events that they cause.
//!
//! State changes only by [`Row`]s. A transaction ([`Tx`]) applies each row to the [`Store`] and collects it
//! for the journal. A restart replays the rows.

pub mod delivery;
pub mod event;
pub mod group;
pub mod group_changes;
pub mod session;
pub mod user;
pub mod user_changes;

mod state;
mod tx;

pub use self::state::{Row, Store};
pub use self::tx::Tx;
