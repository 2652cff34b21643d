//! Builds the message that stores a request.

use async_nats::HeaderValue;
use bytes::Bytes;
use domain::event::Channel;
use domain::key::{DeliveryId, Namespace};
use poem::http::HeaderMap;
use store::publish::{Expected, NewMessage};
use uuid::Uuid;

use crate::signature::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP};

/// The request headers to store. The signature is not among them: nothing needs it after verification.
const KEPT_HEADERS: [&str; 4] = ["Content-Type", "User-Agent", HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP];

/// The id of a delivery: that of authentik's event in the body, else that in the header of a signed request, else a
/// random one.
///
/// The header of an unsigned request is ignored: a forged id would make a later webhook look like a duplicate.
pub(crate) fn delivery_id(
    in_body: Option<Uuid>,
    headers: &HeaderMap,
    is_signed: bool,
    random: impl FnOnce() -> Uuid,
) -> DeliveryId {
    let header = || headers.get(HEADER_WEBHOOK_ID)?.to_str().ok()?.parse().ok();
    let given = in_body.or_else(|| if is_signed { header() } else { None });
    given.unwrap_or_else(random).into()
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
    use super::*;

    const EVENT: &str = "f9fc2ade-fae3-4865-a48c-7fb4d921559e";
    const HEADER: &str = "10626b0e-f766-4287-b63c-08a7fb853912";
    const RANDOM: &str = "00000000-0000-0000-0000-000000000007";

    fn check(in_body: Option<&str>, header: &str, is_signed: bool, expected: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_WEBHOOK_ID, header.parse().unwrap());
        let in_body = in_body.map(|id| id.parse().unwrap());
        let id = delivery_id(in_body, &headers, is_signed, || RANDOM.parse().unwrap());
        assert_eq!(id.as_str(), expected, "{in_body:?} {header} {is_signed}");
    }

    #[test]
    fn the_id_comes_from_the_event_else_from_a_signed_header_else_it_is_random() {
        check(Some(EVENT), HEADER, true, EVENT);
        check(Some(EVENT), HEADER, false, EVENT);
        check(None, HEADER, true, HEADER);
        check(None, HEADER, false, RANDOM);
        check(None, "*.>", true, RANDOM);
        check(None, "", true, RANDOM);
    }

    #[test]
    fn an_event_id_with_and_without_hyphens_is_the_same_delivery() {
        check(Some(&EVENT.replace('-', "")), HEADER, true, EVENT);
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
