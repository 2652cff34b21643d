//! Compares answers with recordings: the same members, of the same types.

use serde_json::Value;

/// Free data, which differs from object to object.
const FREE: [&str; 4] = ["attributes", "models", "args", "settings"];

/// Fails unless `actual` has the shape of `recorded`.
pub fn assert_same(recorded: &Value, actual: &Value, at: &str) {
    match (recorded, actual) {
        (Value::Object(recorded), Value::Object(actual)) => {
            let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(recorded), keys(actual), "members of {at}");
            for (key, value) in recorded.iter().filter(|(key, _)| !FREE.contains(&key.as_str())) {
                assert_same(value, &actual[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(recorded), Value::Array(actual)) => {
            if let (Some(recorded), Some(actual)) = (recorded.first(), actual.first()) {
                assert_same(recorded, actual, &format!("{at}[0]"));
            }
        }
        // Never logged in, for one.
        (Value::Null, _) | (_, Value::Null) => {
            assert!(at.ends_with("last_login") || recorded == actual, "{at}: {recorded} is not {actual}");
        }
        _ => assert_eq!(kind(recorded), kind(actual), "type of {at}"),
    }
}

/// The names of all members of a JSON text, in the order in which they stand there.
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
