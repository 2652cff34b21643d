//! Requests and answers of a real authentik 2026.2.2, in `fixtures/authentik/`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// A webhook as authentik sent it.
#[derive(Clone, Debug, Deserialize)]
pub struct Webhook {
    /// What it shows.
    #[serde(default)]
    pub note: String,
    /// Headers in their order.
    pub headers: Vec<(String, String)>,
    /// The exact bytes; ASCII.
    pub body: String,
}

impl Webhook {
    /// A header by name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// When it was signed, in seconds since 1970; 0 where it is unsigned.
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

/// Names of all recordings in a folder, such as `webhooks`.
pub fn names(folder: &str) -> Vec<String> {
    let files = std::fs::read_dir(directory().join(folder)).expect("the folder of recordings is there");
    let mut names: Vec<_> = files
        .map(|file| file.expect("a readable folder").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The secret that the recorded webhooks are signed with.
pub fn webhook_secret() -> String {
    let secret = json("webhooks/SECRET.json");
    secret["webhook_secret"].as_str().expect("a secret").to_owned()
}

/// Signs a body as authentik's mapping does: the value of `webhook-signature`.
pub fn sign(secret: &str, id: &str, timestamp: i64, body: &str) -> String {
    let webhook = standardwebhooks::Webhook::new(secret).expect("a secret in base64");
    webhook.sign(id, timestamp, body.as_bytes()).expect("a body in UTF-8")
}
