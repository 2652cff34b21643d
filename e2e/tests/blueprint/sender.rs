//! What authentik sends by the blueprint's mappings, which Python carries out.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};
use testkit::recordings::Webhook;

use crate::blueprint::Blueprint;

/// A request as authentik makes it.
#[derive(Debug, Deserialize)]
pub struct Sent {
    pub headers: std::collections::BTreeMap<String, String>,
    pub body: String,
}

/// The event that a recorded webhook was made of; nothing where another mapping made it.
pub fn event_of(webhook: &Webhook) -> Option<Value> {
    let body: Value = serde_json::from_str(&webhook.body).unwrap();
    let event = (body["schema"] == "authentik.event.v1").then(|| body["event"].clone())?;
    let actor = event["actor"].as_object().unwrap().iter();
    // What the mapping fills in stands for what the event does not have.
    let user: serde_json::Map<_, _> = actor
        .filter(|(_, value)| !value.is_null() && **value != json!(false))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Some(json!({
        "pk": {"$uuid": event["id"]},
        "action": event["action"],
        "app": event["app"],
        "created": {"$time": event["created"]},
        "client_ip": event["client_ip"],
        "user": user,
        "context": event["context"],
        "brand": event["brand"],
    }))
}

/// Has authentik send these events, signed with this secret.
pub fn send(blueprint: &Blueprint, secret: &str, events: &[Value]) -> Vec<Sent> {
    let mut python = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/blueprint/authentik.py"))
        .env("EVENTS_WEBHOOK_SECRET", secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is on the PATH");
    let given = json!({
        "body": blueprint.expression("authentik-events body"),
        "headers": blueprint.expression("authentik-events headers"),
        "events": events,
    });
    python.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the expressions fail");
    serde_json::from_slice(&output.stdout).unwrap()
}
