//! The only module that reads the clock and makes random values.

use std::fmt;

use rand::RngExt as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// A time in UTC with microseconds, as PostgreSQL stores it.
///
/// It serialises as the REST API writes it: `2026-11-22T08:52:41.322256Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// Truncates `instant` to microseconds.
    pub fn new(instant: OffsetDateTime) -> Self {
        let utc = instant.to_offset(time::UtcOffset::UTC);
        Self(utc - Duration::nanoseconds(i64::from(utc.nanosecond() % 1_000)))
    }

    /// Seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// The duration from `self` to `later`; zero if `later` is in the past.
    pub fn until(self, later: Self) -> std::time::Duration {
        (later.0 - self.0).try_into().unwrap_or_default()
    }

    /// The time this many seconds later.
    pub fn plus_seconds(self, seconds: f64) -> Self {
        Self::new(self.0 + Duration::seconds_f64(seconds))
    }

    /// The time one microsecond later.
    pub fn next(self) -> Self {
        Self(self.0 + Duration::MICROSECOND)
    }

    /// As Python's `datetime.isoformat()` writes it, which the webhook's body mapping uses: `…+00:00`.
    pub fn python_isoformat(self) -> String {
        format!("{}+00:00", self.without_zone())
    }

    /// As the `Date` header writes it: `Sun, 22 Nov 2026 08:49:37 GMT`.
    pub fn http_date(self) -> String {
        let (weekday, month) = (self.0.weekday().to_string(), self.0.month().to_string());
        let (hour, minute, second) = self.0.to_hms();
        let (day, year) = (self.0.day(), self.0.year());
        format!("{weekday:.3}, {day:02} {month:.3} {year} {hour:02}:{minute:02}:{second:02} GMT")
    }

    /// Like Python: no fraction if it is zero, otherwise six digits.
    fn without_zone(self) -> String {
        let (date, microseconds) = (self.0, self.0.microsecond());
        let (month, day) = (u8::from(date.month()), date.day());
        let (hour, minute, second) = date.to_hms();
        let whole = format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", date.year());
        if microseconds == 0 { whole } else { format!("{whole}.{microseconds:06}") }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}Z", self.without_zone())
    }
}

impl std::str::FromStr for Timestamp {
    type Err = time::error::Parse;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        OffsetDateTime::parse(text, &Rfc3339).map(Self::new)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The current time.
#[expect(clippy::disallowed_methods, reason = "the only place of this crate that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::new(OffsetDateTime::now_utc())
}

/// A random UUID of version 4.
pub fn new_uuid() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

/// A random string of letters and digits, like those of authentik's `generate_id`.
pub fn new_token(length: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    (0..length).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
}

/// True with this probability (0.0 to 1.0).
pub fn chance(probability: f64) -> bool {
    rand::random_bool(probability.clamp(0.0, 1.0))
}

/// A random number of at least 0.0 and less than 1.0.
pub fn fraction() -> f64 {
    rand::random()
}

/// A random index into a list of `length` items. The list must not be empty.
pub fn random_index(length: usize) -> usize {
    rand::random_range(0..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_formatted_as_in_python() {
        let timestamp: Timestamp = "2026-11-22T08:49:37.639040+00:00".parse().unwrap();
        assert_eq!(timestamp.python_isoformat(), "2026-11-22T08:49:37.639040+00:00");
        assert_eq!(timestamp.to_string(), "2026-11-22T08:49:37.639040Z");
    }

    #[test]
    fn an_http_date_is_formatted_in_english() {
        let timestamp: Timestamp = "2026-11-02T08:09:37.639040Z".parse().unwrap();
        assert_eq!(timestamp.http_date(), "Mon, 02 Nov 2026 08:09:37 GMT");
    }

    #[test]
    fn a_whole_second_has_no_fraction_digits() {
        let timestamp: Timestamp = "2026-11-22T08:49:37Z".parse().unwrap();
        assert_eq!(timestamp.to_string(), "2026-11-22T08:49:37Z");
    }
}
