//! Sends webhooks through the blueprint's mappings.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use crate::blueprint::Blueprint;
use crate::python;

/// A request as authentik sends it.
#[derive(Debug, Deserialize)]
pub struct Sent {
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Reconstructs the events of these bodies and sends them through the mappings, signed with this secret.
pub fn send(blueprint: &Blueprint, secret: &str, bodies: &[String]) -> Vec<Sent> {
    let given = json!({
        "body": blueprint.expression("authentik-events body"),
        "headers": blueprint.expression("authentik-events headers"),
        "sent": bodies,
    });
    python::run("authentik.py", &given, secret)
}
