//! The whole system as real processes, for black-box tests.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up must fail, and say why")]

pub mod authentik;
pub mod backup;
pub mod chaos;
pub mod checks;
mod clock;
pub mod dead_letters;
pub mod feed;
pub mod nats;
pub mod nginx;
pub mod process;
pub mod security;
pub mod settings;
pub mod system;
pub mod user_table;
pub mod webhooks;

pub use authentik::Authentik;
pub use feed::Feed;
pub use system::System;
