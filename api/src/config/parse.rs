//! Parsers of single settings.

use std::time::Duration;

/// Drops empty items: clap reads an empty variable as a list of one empty item.
pub fn non_empty_items(setting: &[String]) -> Vec<String> {
    let items = setting.iter().map(|item| item.trim().to_owned());
    items.filter(|item| !item.is_empty()).collect()
}

pub fn http_url(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "expected a URL like https://auth.example.com/application/o/events/";
    let url = reqwest::Url::parse(text).map_err(|_| EXPECTED)?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(text.to_owned())
    } else {
        Err(EXPECTED)
    }
}

/// Compose cannot unset a variable of another file, only empty it.
pub fn http_url_or_nothing(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Ok(String::new()) } else { http_url(text) }
}

pub fn seconds(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "expected a number of seconds, such as 30s";
    let number: f64 = text.trim_end_matches('s').parse().map_err(|_| EXPECTED)?;
    Duration::try_from_secs_f64(number).map_err(|_| EXPECTED)
}
