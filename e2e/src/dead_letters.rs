//! Creates dead letters directly, without waiting for a delivery to fail.

use domain::key::DeliveryId;
use serde_json::json;
use store::publish::{NewMessage, publish};

use crate::System;

/// Creates a dead letter that is processed without error when it is replayed.
pub async fn set_aside(system: &System, id: &str) {
    let nats = system.nats.connect().await;
    let id: DeliveryId = id.parse().expect("a valid delivery id");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Dead-Letter-Reason", "a fault that is fixed by now");
    headers.insert("Dead-Letter-Attempts", "3");
    let subject = nats.namespace.dead_letter_subject(&id);
    // No user has this primary key.
    let payload = json!({"event_type": "model_updated", "pk": 4_000_000}).to_string().into();
    let stored = publish(&nats, NewMessage { subject, headers, payload, expected: None }).await;
    stored.expect("storing a dead letter");
}
