//! The program as it is started.

use std::process::Command;

/// Starts it with these variables alone; it must end at once, with one line.
fn refusal(variables: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ingress"))
        // No `.env` of a developer.
        .current_dir(std::env::temp_dir())
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn it_does_not_start_unprotected_unless_told_so() {
    let line = refusal(&[]);
    assert!(line.contains("WEBHOOK_SECRETS") && line.contains("WEBHOOK_ALLOW_UNSIGNED=true"), "{line}");
}

#[test]
fn a_wrong_secret_stops_the_start_and_is_not_shown() {
    let line = refusal(&[("WEBHOOK_SECRETS", "whsec_!!!!!!!!!!!!!!!!!!!!!!!!!!!!")]);
    assert!(line.contains("WEBHOOK_SECRETS") && !line.contains('!'), "{line}");
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named() {
    let line = refusal(&[
        ("WEBHOOK_ALLOW_UNSIGNED", "true"),
        ("INGRESS_LISTEN", "127.0.0.1:99999"),
        ("RUST_LOG", "error"),
    ]);
    assert!(line.contains("INGRESS_LISTEN"), "{line}");
}
