//! Query parameters of lists.

use std::str::FromStr;

use uuid::Uuid;

use super::answer::Refusal;
use crate::call::Call;
use crate::clock::Timestamp;

/// A boolean; what is none is ignored, as in authentik.
pub fn boolean(call: &Call, name: &str) -> Option<bool> {
    match call.parameter(name)? {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" => Some(false),
        _ => None,
    }
}

/// Text; the empty one filters nothing.
pub fn text<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.parameter(name).filter(|text| !text.is_empty())
}

/// A UUID, with dashes or without.
pub fn uuid(call: &Call, name: &str) -> Result<Option<Uuid>, Refusal> {
    parsed(call, name, "Enter a valid UUID.")
}

/// `name__gt` and `name__lt`: a moment must lie between them.
pub fn between(call: &Call, name: &str) -> Result<(Option<Timestamp>, Option<Timestamp>), Refusal> {
    const MESSAGE: &str = "Enter a valid date/time.";
    Ok((parsed(call, &format!("{name}__gt"), MESSAGE)?, parsed(call, &format!("{name}__lt"), MESSAGE)?))
}

fn parsed<T: FromStr>(call: &Call, name: &str, message: &str) -> Result<Option<T>, Refusal> {
    text(call, name).map(|text| text.parse().map_err(|_| Refusal::field(name, message))).transpose()
}

/// Whether `moment` lies between both bounds; nothing lies between set bounds when there is no moment.
pub fn is_between(moment: Option<Timestamp>, bounds: (Option<Timestamp>, Option<Timestamp>)) -> bool {
    bounds.0.is_none_or(|from| moment.is_some_and(|moment| moment > from))
        && bounds.1.is_none_or(|to| moment.is_some_and(|moment| moment < to))
}

/// Whether every word of `search` is in one of `texts`, in any case.
pub fn is_found(search: &str, texts: &[&str]) -> bool {
    let texts: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
    search.split_whitespace().all(|word| {
        let word = word.to_lowercase();
        texts.iter().any(|text| text.contains(&word))
    })
}
