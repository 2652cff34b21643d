//! Positions in the event log, in the form that clients use.

use std::fmt;
use std::str::FromStr;

use domain::timestamp::Timestamp;

/// The position after one event: `<epoch>-<sequence>`. It is also the id of that event in the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Identifies the stream.
    pub epoch: String,
    /// Sequence of the event.
    pub sequence: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

/// Why a client cannot read from a cursor.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The client must read the state again, for this reason.
    #[error("{0}")]
    Gone(&'static str),
    /// NATS did not answer.
    #[error("the event log cannot be read")]
    Unavailable(#[source] anyhow::Error),
}

/// Where a client starts to read events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// With the next event.
    Now,
    /// With the oldest event that is kept.
    Earliest,
    /// After an event.
    Cursor(Cursor),
    /// With the first event that was stored at this time or later.
    Time(Timestamp),
}

impl FromStr for StartPosition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "now" => return Ok(Self::Now),
            "earliest" => return Ok(Self::Earliest),
            _ => {}
        }
        // An unescaped plus sign in a query arrives as a space.
        if let Ok(time) = text.replace(' ', "+").parse() {
            return Ok(Self::Time(time));
        }
        let cursor = text.rsplit_once('-').and_then(|(epoch, sequence)| {
            let is_plain = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let sequence =
                sequence.parse().ok().filter(|_| sequence.bytes().all(|byte| byte.is_ascii_digit()))?;
            is_plain.then(|| Cursor { epoch: epoch.to_owned(), sequence })
        });
        cursor
            .map(Self::Cursor)
            .ok_or("expected now, earliest, a cursor such as 5d1f…-42, or a time in RFC 3339")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_round_trips_through_text() {
        let cursor = Cursor { epoch: "5d1f".into(), sequence: 42 };
        assert_eq!(cursor.to_string().parse(), Ok(StartPosition::Cursor(cursor)));
    }

    #[test]
    fn words_and_times_are_start_positions() {
        assert_eq!("now".parse(), Ok(StartPosition::Now));
        assert_eq!("earliest".parse(), Ok(StartPosition::Earliest));
        for time in ["2026-11-22T08:52:53Z", "2026-11-22T09:52:53+01:00", "2026-11-22T09:52:53 01:00"] {
            let expected = StartPosition::Time("2026-11-22T08:52:53Z".parse().unwrap());
            assert_eq!(time.parse(), Ok(expected), "{time}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        // A date would be a cursor of the epoch `2026-11` if epochs could contain dashes.
        for text in ["", "42", "-42", "5d1f-", "5d1f-x", "5d1f-+4", "5d 1f-4", "2026-11-22"] {
            let parsed = text.parse::<StartPosition>();
            assert!(parsed.is_err(), "{text:?} is {parsed:?}");
        }
    }
}
