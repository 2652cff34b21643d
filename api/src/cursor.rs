//! Places in the log of events, as clients name them.

use std::fmt;
use std::str::FromStr;

use domain::timestamp::Timestamp;
use poem::http::StatusCode;
use runtime::problem::Problem;
use store::log::ReadFrom;

use crate::answer::{Refusal, bad_parameter};
use crate::live::Live;

/// The place after one event: `<epoch>-<sequence>`. The id of that event in the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which stream.
    pub epoch: String,
    /// Sequence of the event.
    pub sequence: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

/// From where a client wants events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Only what comes.
    Now,
    /// All that is kept.
    Earliest,
    /// What comes after an event.
    Cursor(Cursor),
    /// What was stored at that time or later.
    Time(Timestamp),
}

impl FromStr for After {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "now" => return Ok(Self::Now),
            "earliest" => return Ok(Self::Earliest),
            _ => {}
        }
        // In a query a bare plus sign is a space.
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

/// Reads the parameter `after`.
pub fn after_parameter(text: Option<&str>, default: After) -> Result<After, Refusal> {
    text.map_or(Ok(default), |text| text.parse().map_err(|reason| bad_parameter("after", reason)))
}

/// The sequence after which to read, where no event between it and the next one is lost.
pub async fn resolve(live: &Live, after: After) -> Result<u64, Refusal> {
    match after {
        After::Now => Ok(live.feed.head()),
        After::Earliest => Ok(0),
        After::Cursor(cursor) => checked(live, &cursor).await,
        After::Time(time) => {
            let first = live.log.page(&live.everything(), ReadFrom::Time(time), 1).await;
            let first = first.map_err(|error| Refusal::nats_away(&error))?;
            Ok(first.first().map_or_else(|| live.feed.head(), |first| first.sequence - 1))
        }
    }
}

/// What the client holds must be a place in this very stream, and nothing after it may be gone.
async fn checked(live: &Live, cursor: &Cursor) -> Result<u64, Refusal> {
    if cursor.epoch != live.log.epoch() {
        return Err(gone("the cursor is of another stream of events"));
    }
    if live.feed.covers(cursor.sequence) {
        return Ok(cursor.sequence);
    }
    let bounds = live.log.bounds().await.map_err(|error| Refusal::nats_away(&error))?;
    if cursor.sequence > bounds.last {
        return Err(gone("the cursor is beyond the last event"));
    }
    if cursor.sequence + 1 < bounds.first {
        return Err(gone("events after the cursor are no longer kept"));
    }
    Ok(cursor.sequence)
}

fn gone(reason: &str) -> Refusal {
    let detail = format!("{reason}: read the state again, and go on from its as_of");
    Problem::new(StatusCode::GONE, "Cursor gone", detail).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let cursor = Cursor { epoch: "5d1f".into(), sequence: 42 };
        assert_eq!(cursor.to_string().parse(), Ok(After::Cursor(cursor)));
    }

    #[test]
    fn words_and_times_are_places_too() {
        assert_eq!("now".parse(), Ok(After::Now));
        assert_eq!("earliest".parse(), Ok(After::Earliest));
        for time in ["2026-11-22T08:52:53Z", "2026-11-22T09:52:53+01:00", "2026-11-22T09:52:53 01:00"] {
            assert_eq!(time.parse(), Ok(After::Time("2026-11-22T08:52:53Z".parse().unwrap())), "{time}");
        }
    }

    #[test]
    fn anything_else_is_no_place() {
        for text in ["", "42", "-42", "5d1f-", "5d1f-x", "5d1f-+4", "5d 1f-4", "2026-11-22"] {
            let parsed = text.parse::<After>();
            // A date looks like a cursor of the epoch `2026-11`, were it not for the dash.
            assert!(parsed.is_err(), "{text:?} is {parsed:?}");
        }
    }
}
