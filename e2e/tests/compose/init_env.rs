//! The file that `scripts/init-env` writes, and the values that it keeps.

use std::os::unix::fs::PermissionsExt;

use crate::env::{init_env, made_anew, variables};
use crate::file::root;

#[test]
fn secrets_are_random_and_only_their_owner_may_read_them() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".env");
    let printed = init_env(&file);
    assert!(printed.contains("docker compose up -d"), "the output must name the next step: {printed}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file may remain");

    let (one, other) = (variables(&file), made_anew());
    for (name, value) in variables(&root().join(".env.example")) {
        if value.starts_with('<') {
            assert_ne!(one[&name], other[&name], "{name}");
            assert!(one[&name].len() >= 50, "{name}");
            assert!(!printed.contains(&one[&name]), "{name} is printed");
            // nats-server reads a value that begins with a digit as a number. No value may need quotes.
            assert!(one[&name].starts_with(|c: char| c.is_ascii_alphabetic()), "{name}");
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(one[&name].chars().all(is_plain), "{name}");
        } else {
            assert_eq!(one[&name], value, "{name}");
        }
    }
    let secret = &one["EVENTS_WEBHOOK_SECRET"];
    assert!(testkit::recordings::sign(secret, "id", 1, "{}").starts_with("v1,"), "{secret}");
}

#[test]
fn existing_values_are_kept_and_missing_values_are_added() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".env");
    let old = "# Mine.\nexport POSTGRES_PASSWORD=kept\nNATS_API_PASSWORD=\nOTHER=x=y\nPUBLIC_URL=https://events.example.com";
    std::fs::write(&file, old).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    init_env(&file);
    let made = variables(&file);
    assert_eq!(made["POSTGRES_PASSWORD"], "kept");
    assert_eq!(made["OTHER"], "x=y");
    assert_eq!(made["PUBLIC_URL"], "https://events.example.com");
    assert!(made["NATS_API_PASSWORD"].len() >= 50, "an empty secret counts as missing");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# Mine.\n"), "{text}");
    assert_eq!(text.matches("NATS_API_PASSWORD=").count(), 1, "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    init_env(&file);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "a second run changes nothing");
}
