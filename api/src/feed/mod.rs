//! The newest events in memory. Each event is encoded once, and every reader reads at its own pace.

mod filter;
mod frame;
mod reader;
mod ring;

pub use filter::Filter;
pub use frame::Frame;
pub use reader::Reader;
pub use ring::{Feed, ReadLimits};
