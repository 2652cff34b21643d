//! Clocks that disagree.

use domain::timestamp::Timestamp;

use super::super::finding::Verdict;

/// A signature's time may be so many seconds from the ingress's clock: beyond that every webhook is refused.
const TOLERANCE: u64 = 5 * 60;

/// Clocks that are synchronized are never so far apart.
const NOTEWORTHY: u64 = 60;

/// By how many seconds somebody's clock is ahead of ours.
pub(crate) fn skew(whose: &str, ahead: Option<i64>) -> Verdict {
    let Some(ahead) = ahead else { return Verdict::skipped(format!("{whose} does not tell the time")) };
    let (seconds, direction) = (ahead.unsigned_abs(), if ahead > 0 { "ahead of" } else { "behind" });
    let what = format!("{whose}'s clock is {seconds} s {direction} the one here");
    let fix = format!(
        "synchronize the clocks of both machines (NTP): beyond {TOLERANCE} s every webhook is refused"
    );
    match seconds {
        0..=NOTEWORTHY => Verdict::well(format!("{seconds} s from the clock here")),
        _ if seconds <= TOLERANCE => Verdict::warning(what, fix),
        _ => Verdict::fault(what, fix),
    }
}

/// The time of a `Date` header: `Sun, 22 Nov 2026 08:49:37 GMT`.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let [_, day, month, year, time, "GMT"] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    format!("{year}-{month:02}-{day}T{time}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::{Checked, State};
    use super::*;

    #[test]
    fn a_date_header_is_read() {
        let read = http_date("Sun, 22 Nov 2026 08:49:37 GMT").unwrap();
        assert_eq!(read, "2026-11-22T08:49:37Z".parse().unwrap());
        for wrong in
            ["", "Sunday, 22-Nov-26 08:49:37 GMT", "Sun, 22 Nov 2026 08:49:37 CET", "a b Nov c d GMT"]
        {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_minute_is_noteworthy_and_five_are_a_fault() {
        let state = |ahead| Checked::new("clock", skew("authentik", Some(ahead))).state;
        let states = [0, -60, 61, -300, 301, -301].map(state);
        assert_eq!(states[..4], [State::Ok, State::Ok, State::Warning, State::Warning]);
        assert_eq!(states[4..], [State::Fault, State::Fault]);
    }
}
