//! Dead letters that nobody has to wait for.

use domain::key::DeliveryId;
use serde_json::json;
use store::publish::{NewMessage, publish};

use crate::System;

/// Sets a delivery aside that is worked off well once it is replayed.
pub async fn set_aside(system: &System, id: &str) {
    let nats = system.nats.connect().await;
    let id: DeliveryId = id.parse().expect("an id of a delivery");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Dead-Letter-Reason", "a mistake that is mended by now");
    headers.insert("Dead-Letter-Attempts", "3");
    let subject = nats.namespace.dead_letter_subject(&id);
    // Nobody has this key.
    let payload = json!({"event_type": "model_updated", "pk": 4_000_000}).to_string().into();
    let stored = publish(&nats, NewMessage { subject, headers, payload, expected: None }).await;
    stored.expect("setting a delivery aside");
}
