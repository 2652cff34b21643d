//! Runs the blueprints' expressions in Python, as authentik does.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Runs a script of this directory with JSON as its input, and the webhook secret in its environment. Returns the JSON that
/// it prints.
pub fn run<T: DeserializeOwned>(script: &str, input: &Value, secret: &str) -> T {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blueprint");
    let mut python = Command::new("python3")
        .arg(directory.join(script))
        .env("EVENTS_WEBHOOK_SECRET", secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is on the PATH");
    python.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "an expression of a blueprint failed in Python");
    serde_json::from_slice(&output.stdout).unwrap()
}
