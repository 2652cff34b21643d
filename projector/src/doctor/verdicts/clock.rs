//! Clock skew.

use domain::timestamp::Timestamp;

use super::super::finding::Verdict;

/// Largest skew in seconds that the ingress accepts in a signature's time.
const TOLERANCE: u64 = 5 * 60;

/// Largest skew in seconds between synchronized clocks.
const SYNCHRONIZED: u64 = 60;

/// Whether the clock of `whose` is synchronized with the local one. `ahead` is in seconds.
pub(crate) fn skew(whose: &str, ahead: Option<i64>) -> Verdict {
    let Some(ahead) = ahead else { return Verdict::skipped(format!("{whose} did not send its time")) };
    let (seconds, direction) = (ahead.unsigned_abs(), if ahead > 0 { "ahead of" } else { "behind" });
    let what = format!("{whose}'s clock is {seconds} s {direction} the local clock");
    let fix = format!(
        "synchronize the clocks of both machines (NTP): beyond {TOLERANCE} s every webhook is refused"
    );
    match seconds {
        0..=SYNCHRONIZED => Verdict::ok(format!("{seconds} s from the local clock")),
        _ if seconds <= TOLERANCE => Verdict::warning(what, fix),
        _ => Verdict::fault(what, fix),
    }
}

/// Parses a `Date` header: `Sun, 22 Nov 2026 08:49:37 GMT`.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let [_, day, month, year, time, "GMT"] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    format!("{year}-{month:02}-{day}T{time}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::{CheckResult, State};
    use super::*;

    #[test]
    fn a_date_header_is_parsed() {
        let parsed = http_date("Sun, 22 Nov 2026 08:49:37 GMT").unwrap();
        assert_eq!(parsed, "2026-11-22T08:49:37Z".parse().unwrap());
        for wrong in
            ["", "Sunday, 22-Nov-26 08:49:37 GMT", "Sun, 22 Nov 2026 08:49:37 CET", "a b Nov c d GMT"]
        {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_skew_over_one_minute_is_a_warning_and_over_five_minutes_a_fault() {
        let state = |ahead| CheckResult::new("clock", skew("authentik", Some(ahead))).state;
        let states = [0, -60, 61, -300, 301, -301].map(state);
        assert_eq!(states[..4], [State::Ok, State::Ok, State::Warning, State::Warning]);
        assert_eq!(states[4..], [State::Fault, State::Fault]);
    }
}
