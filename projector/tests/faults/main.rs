//! Deliveries that fail for now or for every retry: none is lost, and none blocks the others.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod garbage;
mod outage;
#[path = "../support/service.rs"]
mod service;
mod slow;
mod support;

use store::log::EventLog;
use support::{Projector, hint};
use testkit::nats::inbox_is_drained;
use testkit::{eventually, recordings};

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_delivery_becomes_a_dead_letter_and_does_not_block_others() {
    let projector = Projector::start().await;
    projector.deliver("broken", "{\"schema\": \"hint.v1\"}").await;
    projector.deliver("no-json", "<html>").await;
    projector.deliver("fine", &hint(8)).await;
    projector.recorded(8).await;
    let letters = projector.nats.jetstream.get_stream("AUTHENTIK_DEAD_LETTERS").await.unwrap();
    eventually("both broken deliveries are dead letters", || async {
        (letters.get_info().await.ok()?.state.messages == 2).then_some(())
    })
    .await;
    let letter = letters.get_last_raw_message_by_subject("authentik.dead-letters.no-json").await.unwrap();
    assert_eq!(letter.payload, "<html>");
    assert!(letter.headers.get("Dead-Letter-Reason").unwrap().as_str().contains("schema"));
    assert_eq!(letter.headers.get("Dead-Letter-Attempts").unwrap().as_str(), "1");
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_waits_for_authentik_and_readiness_shows_the_reason() {
    let projector = Projector::start().await;
    for (status, reason) in
        [(503, "is unavailable"), (403, "refuses the token"), (302, "does not answer like")]
    {
        projector.authentik.answer_all(status);
        let pk = i64::from(status);
        projector.deliver(&format!("at-{status}"), &hint(pk)).await;
        projector.says(reason).await;
        projector.authentik.answer_all(200);
        projector.recorded(pk).await;
        projector.becomes_ready().await;
    }
    let letters = projector.nats.jetstream.get_stream("AUTHENTIK_DEAD_LETTERS").await.unwrap();
    assert_eq!(letters.get_info().await.unwrap().state.messages, 0, "an outage creates no dead letter");
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processing_continues_after_a_restart_of_nats() {
    let mut projector = Projector::start().await;
    projector.deliver("before", &hint(1)).await;
    projector.recorded(1).await;
    projector.server.as_mut().unwrap().restart().await;
    eventually("NATS is connected", || async { projector.nats.is_connected().then_some(()) }).await;
    projector.deliver("after", &hint(2)).await;
    projector.recorded(2).await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_delivery_of_the_whole_inbox_records_nothing() {
    let projector = Projector::start().await;
    let names =
        ["login", "logout", "password_set_by_user", "authorize_application", "login_failed_known_user"];
    for name in names {
        let webhook = recordings::webhook(name);
        projector.deliver(webhook.header("webhook-id").unwrap(), &webhook.body).await;
    }
    let log = EventLog::open(&projector.nats).await.unwrap();
    // One registration, and one fact for each webhook.
    let n_events = names.len() as u64 + 1;
    eventually("every fact is recorded", || async { (log.head().await.ok()? == n_events).then_some(()) })
        .await;
    let server = projector.stop().await.unwrap();

    // A new consumer does not know what the deleted one acknowledged.
    let nats = server.connect().await;
    let inbox = nats.jetstream.get_stream("AUTHENTIK_INBOX").await.unwrap();
    inbox.delete_consumer("projector").await.unwrap();
    let projector = Projector::start_on(server).await;
    inbox_is_drained(&projector.nats).await;
    assert_eq!(log.head().await.unwrap(), n_events);
    projector.stop().await;
}
