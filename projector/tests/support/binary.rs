//! Runs the real projector binary.

use std::process::Stdio;

use testkit::NatsServer;
use tokio::process::{Child, Command};

/// Starts the binary on the server, with no other environment variables than these.
pub fn start(server: &NatsServer, variables: &[(&str, &str)], arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_projector"))
        .env_clear()
        // A directory without a developer's `.env`.
        .current_dir(server.store_dir())
        .env("NATS_URL", server.url())
        .env("RUST_LOG", "warn")
        .envs(variables.iter().copied())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Waits until the binary exits. Returns its exit status, standard output and standard error.
pub async fn output(child: Child) -> (i32, String, String) {
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
