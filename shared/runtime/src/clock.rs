//! The one place that reads the clock and makes random ids; everywhere else they are arguments.

use domain::timestamp::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

/// Now.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
pub fn now() -> Timestamp {
    OffsetDateTime::now_utc().into()
}

/// A new random id.
#[expect(clippy::disallowed_methods, reason = "this is the place that makes ids")]
pub fn new_id() -> Uuid {
    Uuid::new_v4()
}
