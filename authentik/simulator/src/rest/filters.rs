//! Query parameters of lists. An empty parameter does not filter.

use std::str::FromStr;

use super::response::Refusal;
use crate::call::Call;
use crate::clock::Timestamp;

/// A boolean. An invalid value is ignored, as in authentik.
pub fn boolean(call: &Call, name: &str) -> Option<bool> {
    match call.parameter(name)? {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" => Some(false),
        _ => None,
    }
}

pub fn text<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.parameter(name).filter(|text| !text.is_empty())
}

/// A value of another type. An invalid value is refused with this message.
pub fn parsed<T: FromStr>(call: &Call, name: &str, message: &str) -> Result<Option<T>, Refusal> {
    text(call, name).map(|text| text.parse().map_err(|_| Refusal::field(name, message))).transpose()
}

/// The exclusive bounds of a time, from the parameters `<name>__gt` and `<name>__lt`.
#[derive(Default, PartialEq)]
pub struct Between {
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Between {
    pub fn of(call: &Call, name: &str) -> Result<Self, Refusal> {
        let bound = |suffix| parsed(call, &format!("{name}__{suffix}"), "Enter a valid date/time.");
        Ok(Self { after: bound("gt")?, before: bound("lt")? })
    }

    /// Whether `time` is within the bounds. `None` is within the bounds only if there are none.
    pub fn contains(&self, time: Option<Timestamp>) -> bool {
        self.after.is_none_or(|after| time.is_some_and(|time| time > after))
            && self.before.is_none_or(|before| time.is_some_and(|time| time < before))
    }
}
