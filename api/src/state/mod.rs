//! The state that requests read: views of the projections, the newest events, and the rights of users.

pub mod cursor;
pub mod hints;
pub mod live;
pub mod load;
pub mod people;
mod rate_limit;
pub mod tail;
