//! Points in time as RFC 3339 in UTC with microseconds, as precise as authentik's. All have the same width.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

const WIRE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// A point in time in UTC, written as `2026-11-22T08:52:53.234649Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// The day in UTC, as `YYYY-MM-DD`.
    pub fn day(self) -> String {
        self.0.format(DAY).unwrap_or_default()
    }

    /// Seconds since 1970-01-01T00:00:00Z, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// The same instant as a value of the `time` crate.
    pub fn to_offset_date_time(self) -> OffsetDateTime {
        self.0
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(instant: OffsetDateTime) -> Self {
        Self(instant.to_offset(UtcOffset::UTC))
    }
}

/// A text that is not RFC 3339, or whose year in UTC is outside of 0 to 9999.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid RFC 3339 timestamp: {0}")]
pub struct NotATimestamp(String);

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let instant =
            OffsetDateTime::parse(text, &Rfc3339).map_err(|error| NotATimestamp(error.to_string()))?;
        // The conversion to UTC can leave the years that RFC 3339 can express.
        let instant = instant.checked_to_offset(UtcOffset::UTC).filter(|instant| instant.year() >= 0);
        instant.map(Self).ok_or_else(|| NotATimestamp("its year in UTC is outside of 0 to 9999".to_owned()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(WIRE).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_of_utc_that_authentik_sends_are_equal() {
        let webhook: Timestamp = "2026-11-22T08:52:53.234649+00:00".parse().unwrap();
        let rest: Timestamp = "2026-11-22T08:52:53.234649Z".parse().unwrap();
        assert_eq!(webhook, rest);
        assert_eq!(webhook.to_string(), "2026-11-22T08:52:53.234649Z");
    }

    #[test]
    fn a_timestamp_outside_of_the_years_0_to_9999_in_utc_is_refused() {
        for text in ["9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00", "yesterday"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        for text in ["9999-12-31T23:59:59.000000Z", "0000-01-01T00:00:00.000000Z"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_day_is_the_day_in_utc() {
        let late: Timestamp = "2026-11-22T23:30:00-02:00".parse().unwrap();
        assert_eq!(late.day(), "2026-11-23");
    }
}
