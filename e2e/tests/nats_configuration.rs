//! The server configurations in `nats/` are what nats-server takes.

use std::path::Path;
use std::process::Command;

#[test]
fn nats_server_takes_the_configuration_of_one_node() {
    let directory = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats/nats-server.conf");
    let output = Command::new(testkit::nats::binary())
        .arg("-t")
        .arg("--config")
        .arg(&file)
        .env("NATS_STORE_DIR", directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("sync_interval: always"), "accepted means stored: see nats/README.md");
}
