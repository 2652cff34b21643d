//! Webhooks recorded from a real authentik are stored byte for byte.

use crate::service::{Service, inbox, problem};
use reqwest::StatusCode;
use serde_json::Value;
use testkit::NatsServer;
use testkit::recordings::{self, Webhook};

/// Recordings that are not exactly one signed webhook.
const SPECIAL: [&str; 4] =
    ["SECRET", "no_mapping_default_body", "retries_on_500", "redelivery_after_worker_sigkill"];

#[tokio::test]
async fn each_recording_is_stored_byte_for_byte_under_the_id_of_its_event() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let names: Vec<_> =
        recordings::names("webhooks").into_iter().filter(|name| !SPECIAL.contains(&name.as_str())).collect();
    assert!(names.len() >= 25, "{names:?}");

    for name in &names {
        let answer = service.replay(&recordings::webhook(name)).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{name}");
        assert_eq!(answer.bytes().await.unwrap().len(), 0);
    }
    let stored = inbox(&nats).await;
    assert_eq!(stored.len(), names.len());
    for (name, stored) in names.iter().zip(stored) {
        let webhook = recordings::webhook(name);
        let body: Value = serde_json::from_str(&webhook.body).unwrap();
        let event_id = body["event"]["id"].as_str().unwrap();
        assert_eq!(stored.subject, format!("authentik.inbox.{event_id}"), "{name}");
        assert_eq!(stored.payload, webhook.body.as_bytes(), "{name}");
        let kept = ["Channel", "Content-Type", "User-Agent", "webhook-id", "webhook-timestamp"];
        assert_eq!(stored.header_names(), kept, "{name}");
        for kept in &kept[1..] {
            assert_eq!(stored.headers.get(*kept).unwrap().as_str(), webhook.header(kept).unwrap(), "{name}");
        }
        assert_eq!(stored.headers.get("Channel").unwrap().as_str(), "webhook");
    }

    for name in &names {
        let answer = service.replay(&recordings::webhook(name)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{name} again");
    }
    assert_eq!(inbox(&nats).await.len(), names.len());
    service.stop().await;
}

#[tokio::test]
async fn authentiks_default_body_is_refused_as_unsigned() {
    let server = NatsServer::start().await;
    server.provisioned().await;
    let service = Service::ready(&server).await;
    let answer = service.replay(&recordings::webhook("no_mapping_default_body")).await;
    assert!(problem(answer, StatusCode::UNAUTHORIZED).await.contains("not signed"));
    service.stop().await;
}

#[tokio::test]
async fn a_redelivery_after_a_crash_of_authentik_is_a_duplicate() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let attempts = recordings::json("webhooks/redelivery_after_worker_sigkill.json");
    let attempts: Vec<Webhook> = serde_json::from_value(attempts).unwrap();
    let mut statuses = vec![];
    for attempt in &attempts {
        statuses.push(service.replay(attempt).await.status());
    }
    assert_eq!(statuses, [StatusCode::NO_CONTENT, StatusCode::OK]);
    let stored = inbox(&nats).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(
        stored[0].headers.get("webhook-timestamp").unwrap().as_str(),
        attempts[0].timestamp().to_string()
    );
    service.stop().await;
}

#[tokio::test]
async fn only_the_first_attempt_of_a_delivery_is_stored() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let mut statuses = vec![];
    for attempt in recordings::json("webhooks/retries_on_500.json")["attempts"].as_array().unwrap() {
        let headers: Vec<(String, String)> = serde_json::from_value(attempt["headers"].clone()).unwrap();
        let mut webhook = Webhook { note: String::new(), headers, body: String::new() };
        let id = webhook.header("webhook-id").unwrap().to_owned();
        // The recording has no bodies, so the test makes one for the same event and signs it.
        webhook.body = format!("{{\"schema\": \"authentik.event.v1\", \"event\": {{\"id\": \"{id}\"}}}}");
        let signature =
            recordings::sign(&recordings::webhook_secret(), &id, webhook.timestamp(), &webhook.body);
        for (name, value) in &mut webhook.headers {
            if name == "webhook-signature" {
                value.clone_from(&signature);
            }
        }
        statuses.push(service.replay(&webhook).await.status());
    }
    assert_eq!(statuses.len(), 7);
    assert_eq!(statuses[0], StatusCode::NO_CONTENT);
    assert!(statuses[1..].iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
    assert_eq!(inbox(&nats).await.len(), 1);
    service.stop().await;
}
