//! JSON with the bytes that Python's `json.dumps` writes.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// `json.dumps(value)`: the separators are `", "` and `": "`, and all but printable ASCII is escaped.
pub fn dumps(value: &impl Serialize) -> String {
    let mut bytes = Vec::with_capacity(1_024);
    let written = value.serialize(&mut Serializer::with_formatter(&mut bytes, Python));
    debug_assert!(written.is_ok(), "values with string keys always serialise");
    // The formatter writes only ASCII.
    String::from_utf8(bytes).unwrap_or_default()
}

struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for character in fragment.chars() {
            if matches!(character, ' '..='~') {
                write!(writer, "{character}")?;
            } else {
                // A character beyond the basic multilingual plane becomes a surrogate pair.
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Json, object};

    #[test]
    fn non_ascii_text_is_escaped_as_in_python() {
        assert_eq!(
            dumps(&"Ada Löve\u{7f}lace 🚀\n\"\\/"),
            r#""Ada L\u00f6ve\u007flace \ud83d\ude80\n\"\\/""#
        );
    }

    #[test]
    fn separators_end_in_a_space() {
        let value = object([("a", Json::Array(vec![1.into(), Json::Null])), ("b", object([]))]);
        assert_eq!(dumps(&value), r#"{"a": [1, null], "b": {}}"#);
    }
}
