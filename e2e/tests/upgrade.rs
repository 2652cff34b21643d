//! The projector logs streams with a different configuration, and does not change them.

use std::time::Duration;

use e2e::System;

const OPERATIONS: &str = include_str!("../../docs/operations.md");

#[tokio::test(flavor = "multi_thread")]
async fn a_different_stream_is_logged_as_documented_and_not_changed() {
    let line = "AUTHENTIK_INBOX: max_age is 86400000000000, expected 7776000000000000; the setting was not changed: see nats/README.md";
    assert!(OPERATIONS.contains(line));
    let mut system = System::start().await;
    let nats = system.nats.connect().await;
    let mut inbox = nats.jetstream.get_stream("AUTHENTIK_INBOX").await.unwrap();
    let mut config = inbox.info().await.unwrap().config.clone();
    config.max_age = Duration::from_hours(24);
    nats.jetstream.update_stream(config.clone()).await.unwrap();

    system.kill_projectors().await;
    system.restart_projectors().await;
    testkit::eventually("the difference is logged", || async {
        system.logs_and_metrics().await.contains(line).then_some(())
    })
    .await;
    assert_eq!(inbox.info().await.unwrap().config.max_age, config.max_age);
}
