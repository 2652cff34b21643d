//! The only place that reads the clock and creates random ids. Everywhere else they are arguments.

use domain::timestamp::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

/// The current time of this machine.
#[expect(clippy::disallowed_methods, reason = "the only place that reads the clock")]
pub fn now() -> Timestamp {
    OffsetDateTime::now_utc().into()
}

/// A new random UUID (version 4).
#[expect(clippy::disallowed_methods, reason = "the only place that creates ids")]
pub fn new_id() -> Uuid {
    Uuid::new_v4()
}
