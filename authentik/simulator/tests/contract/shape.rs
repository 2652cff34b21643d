//! Compares the shape of responses with recordings: the same members with the same types.

use serde_json::Value;

/// Members with custom data, which differs between objects.
const CUSTOM: [&str; 4] = ["attributes", "models", "args", "settings"];

/// Fails unless `actual` has the shape of `recorded`.
pub fn assert_same(recorded: &Value, actual: &Value, at: &str) {
    match (recorded, actual) {
        (Value::Object(recorded), Value::Object(actual)) => {
            let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(recorded), keys(actual), "members of {at}");
            for (key, value) in recorded.iter().filter(|(key, _)| !CUSTOM.contains(&key.as_str())) {
                assert_same(value, &actual[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(recorded), Value::Array(actual)) => {
            if let (Some(recorded), Some(actual)) = (recorded.first(), actual.first()) {
                assert_same(recorded, actual, &format!("{at}[0]"));
            }
        }
        // A user may never have logged in.
        (Value::Null, _) | (_, Value::Null) => {
            assert!(at.ends_with("last_login") || recorded == actual, "{at}: {recorded} is not {actual}");
        }
        _ => assert_eq!(kind(recorded), kind(actual), "type of {at}"),
    }
}

/// The names of all members of a JSON text, in their order.
pub fn members(text: &str) -> Vec<&str> {
    let before_colon = text.match_indices("\":").map(|(end, _)| &text[..end]);
    before_colon.map(|text| text.rsplit('"').next().unwrap_or_default()).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}
