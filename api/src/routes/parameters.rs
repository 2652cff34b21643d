//! Query parameters that several routes share.

use domain::event::EventType;
use domain::key::{Entity, UserPk};

use crate::answer::{Answer, bad_parameter};
use crate::feed::Filter;
use crate::state::cursor::StartPosition;

/// Default number of items in a list.
const DEFAULT_LIMIT: u32 = 50;

/// Maximum number of items in a list.
const MAX_LIMIT: u32 = 500;

/// Parses `limit`.
pub fn limit(limit: Option<u32>) -> Answer<usize> {
    match limit.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit as usize),
        _ => Err(bad_parameter("limit", format!("expected 1 to {MAX_LIMIT}"))),
    }
}

/// Parses `cursor`, the `next` of the page before.
pub fn page_cursor<T: std::str::FromStr>(cursor: Option<String>) -> Answer<Option<T>> {
    let cursor = cursor.map(|cursor| cursor.parse()).transpose();
    cursor.map_err(|_| bad_parameter("cursor", "expected `next` of a page"))
}

/// Parses `after`.
pub fn start_position(after: Option<&str>, default: StartPosition) -> Answer<StartPosition> {
    after.map_or(Ok(default), |text| text.parse().map_err(|reason| bad_parameter("after", reason)))
}

/// Parses `type` and `user`.
pub fn event_filter(types: Option<&str>, user: Option<UserPk>) -> Answer<Filter> {
    let names = types.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    let types = names.map(str::parse::<EventType>).collect::<Result<_, _>>();
    let types = types.map_err(|error| bad_parameter("type", error))?;
    Ok(Filter { entity: user.map(Entity::User), types })
}

/// Whether `text` contains `needle`, ignoring case. `needle` must be in lower case.
pub fn contains(text: &str, needle: &str) -> bool {
    text.to_lowercase().contains(needle)
}
