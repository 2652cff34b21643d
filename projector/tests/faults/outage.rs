//! While authentik does not answer, the inbox is left alone.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use testkit::nats::inbox_is_drained;

use crate::support::{Authentik, Projector};

const N_USERS: i64 = 300;

/// A delivery that was not let go comes back after this time.
const ACK_WAIT: Duration = Duration::from_secs(15);

/// From now on authentik answers everything with this status; then come hints about many users.
async fn outage(status: u16) -> Projector {
    let projector = Projector::start().await;
    projector.says("ready\n").await;
    projector.authentik.answer_all(status);
    projector.deliver_hints(1..=N_USERS).await;
    projector
}

/// Neither pulls nor asks for users while it makes its probes.
async fn leaves_the_inbox_alone(projector: &Projector) {
    projector.authentik.looked_at(1).await;
    let (consumer, n_questions) =
        (projector.consumer().await, projector.authentik.n_questions.load(Ordering::SeqCst));
    projector.authentik.looked_at(1).await;
    assert_eq!(projector.consumer().await.delivered.consumer_sequence, consumer.delivered.consumer_sequence);
    assert_eq!(projector.authentik.n_questions.load(Ordering::SeqCst), n_questions);
}

/// All is recorded once authentik answers, by those very deliveries.
async fn goes_on_by_itself(projector: Projector) {
    projector.authentik.answer_all(200);
    projector.says("ready\n").await;
    projector.all_recorded(1..=N_USERS).await;
    inbox_is_drained(&projector.nats).await;
    assert_eq!(projector.n_dead_letters().await, 0, "nothing is set aside for an outage");
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_stay_in_the_inbox_while_authentik_is_away() {
    let projector = outage(503).await;
    projector.says("not asked since").await;
    projector.says("authentik is away").await;
    leaves_the_inbox_alone(&projector).await;
    goes_on_by_itself(projector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_stay_in_the_inbox_while_the_token_is_refused() {
    let projector = outage(403).await;
    projector.says("refuses the token").await;
    leaves_the_inbox_alone(&projector).await;
    goes_on_by_itself(projector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_projector_lets_go_another_one_does_at_once() {
    let cut_off = outage(503).await;
    cut_off.says("not asked since").await;
    let other = cut_off.start_beside(Authentik::default()).await;
    let begin = Instant::now();
    other.all_recorded(1..=N_USERS).await;
    assert!(begin.elapsed() < ACK_WAIT, "nothing has to be taken for lost first");
    assert_eq!(cut_off.n_dead_letters().await, 0);
    other.stop().await;
    cut_off.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_an_outage() {
    let projector = outage(503).await;
    projector.says("not asked since").await;
    projector.stop().await;
}
