//! Webhooks and REST answers recorded from a real authentik 2026.2.2, in `fixtures/authentik/`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// A webhook as authentik sent it.
#[derive(Clone, Debug, Deserialize)]
pub struct Webhook {
    /// What the recording shows.
    #[serde(default)]
    pub note: String,
    /// Headers in their original order.
    pub headers: Vec<(String, String)>,
    /// The exact bytes of the body, which are ASCII.
    pub body: String,
}

impl Webhook {
    /// The value of a header. Case of the name is ignored.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Time of the signature in seconds since 1970; 0 if the webhook is unsigned.
    pub fn timestamp(&self) -> i64 {
        self.header("webhook-timestamp").and_then(|timestamp| timestamp.parse().ok()).unwrap_or_default()
    }
}

/// Directory of the recordings.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/authentik")
}

/// A recording as JSON, such as `rest/user.json`.
pub fn json(name: &str) -> Value {
    let path = directory().join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A recorded webhook, such as `user_created`.
pub fn webhook(name: &str) -> Webhook {
    let recording = json(&format!("webhooks/{name}.json"));
    serde_json::from_value(recording).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Sorted names of all recordings in a folder, such as `webhooks`.
pub fn names(folder: &str) -> Vec<String> {
    let files = std::fs::read_dir(directory().join(folder)).expect("the folder of recordings is there");
    let mut names: Vec<_> = files
        .map(|file| file.expect("a readable folder").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The secret that signed the recorded webhooks.
pub fn webhook_secret() -> String {
    let secret = json("webhooks/SECRET.json");
    secret["webhook_secret"].as_str().expect("a secret").to_owned()
}

/// The value of `webhook-signature` for a webhook, as authentik's mapping computes it.
pub fn sign(secret: &str, id: &str, timestamp: i64, body: &str) -> String {
    let webhook = standardwebhooks::Webhook::new(secret).expect("a secret in base64");
    webhook.sign(id, timestamp, body.as_bytes()).expect("a body in UTF-8")
}
