//! Runs the blueprint's mappings in Python, as authentik does.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::json;

use crate::blueprint::Blueprint;

/// A request as authentik sends it.
#[derive(Debug, Deserialize)]
pub struct Sent {
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Reconstructs the events of these bodies and sends them through the mappings, signed with this secret.
pub fn send(blueprint: &Blueprint, secret: &str, bodies: &[String]) -> Vec<Sent> {
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
        "sent": bodies,
    });
    python.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "an expression of the blueprint failed in Python");
    serde_json::from_slice(&output.stdout).unwrap()
}
