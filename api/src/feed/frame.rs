//! An event, encoded for the feed.

use bytes::{BufMut, Bytes, BytesMut};
use domain::event::EventType;
use domain::key::{Entity, Namespace};
use serde_json::value::RawValue;
use store::log::StoredMessage;

/// One event, encoded once for all readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub sequence: u64,
    /// The user or group that the event is about.
    pub entity: Entity,
    /// Its type; `None` if only a newer version of this software knows it.
    pub event_type: Option<EventType>,
    bytes: Bytes,
    line_start: usize,
}

impl Frame {
    /// Encodes a stored event without changing its JSON. Returns `None` for a message that is not an event.
    ///
    /// Checks only the subject and that the payload is one line of JSON, so events of unknown types are sent too.
    pub fn of(message: &StoredMessage, namespace: &Namespace, epoch: &str) -> Option<Self> {
        let tokens = message.subject.strip_prefix(&format!("{namespace}.events."))?;
        let [kind, key, event_type] = tokens.split('.').collect::<Vec<_>>().try_into().ok()?;
        let entity = format!("{kind}/{key}").parse().ok()?;
        let is_line = !message.payload.contains(&b'\n') && !message.payload.contains(&b'\r');
        if !is_line || serde_json::from_slice::<&RawValue>(&message.payload).is_err() {
            return None;
        }
        let head = format!("id: {epoch}-{}\nevent: {event_type}\ndata: ", message.sequence);
        let mut bytes = BytesMut::with_capacity(head.len() + message.payload.len() + 2);
        bytes.put_slice(head.as_bytes());
        bytes.put_slice(&message.payload);
        bytes.put_slice(b"\n\n");
        Some(Self {
            sequence: message.sequence,
            entity,
            event_type: event_type.parse().ok(),
            bytes: bytes.freeze(),
            line_start: head.len(),
        })
    }

    /// The complete server-sent event.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The stored JSON.
    pub fn line(&self) -> &[u8] {
        // The frame ends with an empty line.
        &self.bytes[self.line_start..self.bytes.len() - 2]
    }
}

#[cfg(test)]
pub(super) fn frame(sequence: u64, subject: &str, json: &str) -> Option<Frame> {
    let message = StoredMessage {
        sequence,
        stored: "2026-11-22T08:52:53Z".parse().unwrap(),
        subject: format!("authentik.events.{subject}"),
        payload: Bytes::copy_from_slice(json.as_bytes()),
    };
    Frame::of(&message, &Namespace::default(), "5d1f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_sent_as_it_is_stored() {
        let frame = frame(7, "user.42.user-updated", r#"{"a": 1 }"#).unwrap();
        let expected = "id: 5d1f-7\nevent: user-updated\ndata: {\"a\": 1 }\n\n";
        assert_eq!(frame.bytes(), expected);
        assert_eq!(frame.line(), br#"{"a": 1 }"#);
        assert_eq!((frame.entity, frame.event_type), (Entity::User(42), Some(EventType::UserUpdated)));
    }

    #[test]
    fn an_event_of_an_unknown_type_is_sent_too() {
        assert_eq!(frame(7, "user.42.user-moved", "{}").unwrap().event_type, None);
    }

    #[test]
    fn a_message_that_would_break_the_feed_is_not_sent() {
        for (subject, json) in
            [("user.42.x", "{\n}"), ("user.42.x", "no"), ("user.x.y", "{}"), ("user.42", "{}")]
        {
            assert_eq!(frame(7, subject, json), None);
        }
    }
}
