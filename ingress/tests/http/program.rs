//! The ingress as a process.

use testkit::program;

/// Starts the ingress with only these variables. It must exit with an error of one line, which is returned.
async fn refusal(variables: &[(&str, &str)]) -> String {
    let mut command = program::command(env!("CARGO_BIN_EXE_ingress"), &std::env::temp_dir());
    let (status, _, error) = program::finish(command.envs(variables.iter().copied()).spawn().unwrap()).await;
    assert_ne!(status, 0);
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[tokio::test]
async fn without_secrets_it_does_not_start_unless_the_settings_allow_it() {
    let line = refusal(&[]).await;
    assert!(line.contains("WEBHOOK_SECRETS") && line.contains("WEBHOOK_ALLOW_UNSIGNED=true"), "{line}");
}

#[tokio::test]
async fn an_invalid_secret_prevents_the_start_and_is_not_shown() {
    let line = refusal(&[("WEBHOOK_SECRETS", "whsec_!!!!!!!!!!!!!!!!!!!!!!!!!!!!")]).await;
    assert!(line.contains("WEBHOOK_SECRETS") && !line.contains('!'), "{line}");
}

#[tokio::test]
async fn an_invalid_listen_address_is_named() {
    let line = refusal(&[
        ("WEBHOOK_ALLOW_UNSIGNED", "true"),
        ("INGRESS_LISTEN", "127.0.0.1:99999"),
        ("RUST_LOG", "error"),
    ])
    .await;
    assert!(line.contains("INGRESS_LISTEN"), "{line}");
}
