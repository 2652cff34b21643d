//! Builds the message that stores a request.

use async_nats::HeaderValue;
use bytes::Bytes;
use domain::event::Channel;
use domain::hint::delivery_id_in;
use domain::key::{DeliveryId, Namespace};
use poem::http::HeaderMap;
use serde_json::Value;
use standardwebhooks::HEADER_WEBHOOK_ID;
use store::publish::{Expected, NewMessage};
use uuid::Uuid;

/// The request headers to store. The signature is not among them: nothing needs it after verification.
const KEPT_HEADERS: [&str; 4] = ["Content-Type", "User-Agent", HEADER_WEBHOOK_ID, "webhook-timestamp"];

/// The id of a delivery: that of authentik's event, else that in the header of a signed request, else `random`.
///
/// The header of an unsigned request is ignored: a forged id would make a later webhook look like a duplicate.
pub(crate) fn delivery_id(json: &Value, headers: &HeaderMap, is_signed: bool, random: Uuid) -> DeliveryId {
    let header = || headers.get(HEADER_WEBHOOK_ID)?.to_str().ok()?.parse().ok();
    let given = delivery_id_in(json).or_else(|| if is_signed { header() } else { None });
    given.unwrap_or(random).into()
}

/// The message that stores a delivery byte for byte, on the condition that no delivery with this id is stored.
pub(crate) fn message(
    namespace: &Namespace,
    id: &DeliveryId,
    headers: &HeaderMap,
    body: Bytes,
) -> NewMessage {
    let mut kept = async_nats::HeaderMap::new();
    for name in KEPT_HEADERS {
        let value = headers.get(name).and_then(|value| value.to_str().ok()?.parse::<HeaderValue>().ok());
        if let Some(value) = value {
            kept.insert(name, value);
        }
    }
    kept.insert(store::inbox::CHANNEL, Channel::Webhook.as_str());
    NewMessage {
        subject: namespace.inbox_subject(id),
        headers: kept,
        payload: body,
        expected: Some(Expected { last_sequence: 0, filter: None }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EVENT: &str = "f9fc2ade-fae3-4865-a48c-7fb4d921559e";
    const HEADER: &str = "10626b0e-f766-4287-b63c-08a7fb853912";
    const RANDOM: &str = "00000000-0000-0000-0000-000000000007";

    fn check(json: &Value, header: &str, is_signed: bool, expected: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_WEBHOOK_ID, header.parse().unwrap());
        let id = delivery_id(json, &headers, is_signed, RANDOM.parse().unwrap());
        assert_eq!(id.as_str(), expected, "{json} {header} {is_signed}");
    }

    #[test]
    fn the_id_comes_from_the_event_else_from_a_signed_header_else_it_is_random() {
        let with_event = json!({"event": {"id": EVENT}});
        let without_event = json!({"event_type": "model_created", "pk": 1});
        check(&with_event, HEADER, true, EVENT);
        check(&with_event, HEADER, false, EVENT);
        check(&without_event, HEADER, true, HEADER);
        check(&without_event, HEADER, false, RANDOM);
        check(&without_event, "*.>", true, RANDOM);
        check(&json!({"event": {"id": "*.>"}}), HEADER, true, HEADER);
        check(&json!({"event": {"id": 7}}), "", true, RANDOM);
        check(&json!([]), "", true, RANDOM);
    }

    #[test]
    fn an_event_id_with_and_without_hyphens_is_the_same_delivery() {
        check(&json!({"event": {"id": EVENT.replace('-', "")}}), HEADER, true, EVENT);
    }

    #[test]
    fn only_the_listed_headers_are_stored() {
        let given = [
            ("content-type", "application/json"),
            ("user-agent", "authentik@2026.2.2"),
            ("webhook-id", EVENT),
            ("webhook-timestamp", "1"),
            ("webhook-signature", "v1,x"),
            ("authorization", "Bearer x"),
            ("nats-msg-id", "x"),
            ("channel", "sweep"),
        ];
        let headers = given.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let id = EVENT.parse().unwrap();
        let message =
            message(&Namespace::default(), &id, &headers.into_iter().collect(), Bytes::from_static(b"{}"));
        assert_eq!(message.subject, format!("authentik.inbox.{EVENT}"));
        let mut names: Vec<_> = message.headers.iter().map(|(name, _)| name.to_string()).collect();
        names.sort();
        assert_eq!(names, ["Channel", "Content-Type", "User-Agent", "webhook-id", "webhook-timestamp"]);
        assert_eq!(message.headers.get("Channel").map(HeaderValue::as_str), Some("webhook"));
    }
}
