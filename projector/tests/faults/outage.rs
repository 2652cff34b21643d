//! While authentik does not answer, the projector takes no hints from the inbox.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use testkit::nats::inbox_is_drained;

use crate::support::{Authentik, Projector};

const N_USERS: i64 = 300;

/// A delivery that was not returned to the inbox is redelivered after this time.
const ACK_WAIT: Duration = Duration::from_secs(15);

/// Makes authentik answer everything with this status, then delivers hints about many users.
async fn outage(status: u16) -> Projector {
    let projector = Projector::start().await;
    projector.becomes_ready().await;
    projector.authentik.answer_all(status);
    projector.deliver_hints(1..=N_USERS).await;
    projector
}

/// Checks that the projector only sends probes: it neither pulls hints nor reads users.
async fn pulls_nothing(projector: &Projector) {
    projector.authentik.checked(1).await;
    let (consumer, n_user_reads) =
        (projector.consumer().await, projector.authentik.n_user_reads.load(Ordering::SeqCst));
    projector.authentik.checked(1).await;
    assert_eq!(projector.consumer().await.delivered.consumer_sequence, consumer.delivered.consumer_sequence);
    assert_eq!(projector.authentik.n_user_reads.load(Ordering::SeqCst), n_user_reads);
}

/// Checks that all hints are recorded after authentik answers again.
async fn recovers(projector: Projector) {
    projector.authentik.answer_all(200);
    projector.becomes_ready().await;
    projector.all_recorded(1..=N_USERS).await;
    inbox_is_drained(&projector.nats).await;
    assert_eq!(projector.n_dead_letters().await, 0, "an outage creates no dead letter");
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_stay_in_the_inbox_while_authentik_is_unavailable() {
    let projector = outage(503).await;
    projector.says("no requests are sent to authentik since").await;
    projector.says("authentik is unavailable").await;
    pulls_nothing(&projector).await;
    recovers(projector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_stay_in_the_inbox_while_the_token_is_refused() {
    let projector = outage(403).await;
    projector.says("refuses the token").await;
    pulls_nothing(&projector).await;
    recovers(projector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_projector_processes_returned_deliveries_at_once() {
    let cut_off = outage(503).await;
    cut_off.says("no requests are sent to authentik since").await;
    let other = cut_off.start_beside(Authentik::default()).await;
    let begin = Instant::now();
    other.all_recorded(1..=N_USERS).await;
    assert!(begin.elapsed() < ACK_WAIT, "no delivery waits for its timeout");
    assert_eq!(cut_off.n_dead_letters().await, 0);
    other.stop().await;
    cut_off.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_succeeds_during_an_outage() {
    let projector = outage(503).await;
    projector.says("no requests are sent to authentik since").await;
    projector.stop().await;
}
