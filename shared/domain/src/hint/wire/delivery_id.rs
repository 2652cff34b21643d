//! The id of a delivery, without parsing the rest of its body into memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use uuid::Uuid;

/// The id of authentik's event in an `authentik.event.v1` body, if present. Fails if the body is not JSON.
pub fn delivery_id_in(body: &str) -> serde_json::Result<Option<Uuid>> {
    let mut json = serde_json::Deserializer::from_str(body);
    let id = IdAt(&["event", "id"]).deserialize(&mut json)?;
    json.end()?;
    Ok(id)
}

/// Reads the UUID at this path of keys. Gives `None` if there is anything else, or nothing.
#[derive(Clone, Copy)]
struct IdAt(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for IdAt {
    type Value = Option<Uuid>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<Uuid>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for IdAt {
    type Value = Option<Uuid>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Uuid>, A::Error> {
        let mut found = None;
        while let Some(is_wanted) = map.next_key_seed(IsKey(self.0.first().copied()))? {
            if is_wanted {
                // Of repeated keys the last one counts, as everywhere in serde_json.
                found = map.next_value_seed(Self(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<Uuid>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<Uuid>, E> {
        Ok(if self.0.is_empty() { text.parse().ok() } else { None })
    }

    fn visit_unit<E>(self) -> Result<Option<Uuid>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<Uuid>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<Uuid>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<Uuid>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<Uuid>, E> {
        Ok(None)
    }
}

/// Whether the next key is this one.
struct IsKey(Option<&'static str>);

impl<'de> DeserializeSeed<'de> for IsKey {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for IsKey {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(self.0 == Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "f9fc2ade-fae3-4865-a48c-7fb4d921559e";

    #[test]
    fn the_id_of_the_event_is_found_wherever_it_stands() {
        for body in [
            r#"{"event": {"id": "ID"}}"#,
            r#"{"schema": "x", "event": {"a": [{"id": 1}], "id": "ID", "b": null}, "id": "other"}"#,
            r#"{"event": {"id": "other"}, "event": {"id": 1, "id": "ID"}}"#,
            r#"{"\u0065vent": {"id": "ID"}}"#,
        ] {
            assert_eq!(delivery_id_in(&body.replace("ID", ID)).unwrap(), ID.parse().ok(), "{body}");
        }
    }

    #[test]
    fn json_without_the_id_of_an_event_has_none() {
        for body in ["[]", "1", "-1", "1.5", "true", "null", "\"x\"", "{}", r#"[{"event": {"id": "ID"}}]"#] {
            assert_eq!(delivery_id_in(&body.replace("ID", ID)).unwrap(), None, "{body}");
        }
        for event in
            ["[]", "null", "\"ID\"", "{}", r#"{"id": 7}"#, r#"{"id": {}}"#, r#"{"id": {"id": "ID"}}"#]
        {
            let body = format!("{{\"event\": {event}}}").replace("ID", ID);
            assert_eq!(delivery_id_in(&body).unwrap(), None, "{body}");
        }
        assert_eq!(delivery_id_in(r#"{"event": {"id": "*.>"}}"#).unwrap(), None);
    }

    #[test]
    fn a_body_that_is_not_json_is_refused() {
        for body in
            ["", "{", "{} {}", "\u{feff}{}", "\0", r#"{"event": {"id": "x"}"#, r#"{"a": tru}"#, r#"{"a" 1}"#]
        {
            assert!(delivery_id_in(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_deeply_nested_body_is_read() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = format!("{{\"a\": {deep}, \"event\": {{\"id\": \"{ID}\"}}}}");
        assert_eq!(delivery_id_in(&body).unwrap(), ID.parse().ok());
    }
}
