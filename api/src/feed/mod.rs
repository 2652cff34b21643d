//! The live feed: each event framed once, in a ring that every subscriber reads at its own pace.

mod filter;
mod frame;
mod reader;
mod ring;
pub mod stream;

pub use filter::Filter;
pub use frame::Frame;
pub use reader::{Limits, Reader};
pub use ring::Feed;
