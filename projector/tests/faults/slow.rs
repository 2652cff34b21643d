//! Questions that take long leave room for the others.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

use testkit::nats::inbox_is_drained;
use testkit::{NatsServer, eventually};

use crate::support::{Authentik, Projector, SLOW, hint};

const CONCURRENCY: usize = 4;
const SLOW_USERS: RangeInclusive<i64> = SLOW..=SLOW + 11;
const QUICK_USERS: RangeInclusive<i64> = 1..=40;

/// Three times as many slow users as there are slots, each asked about.
async fn held() -> Projector {
    // Quick questions are answered only where every slot is theirs.
    let authentik = Authentik::answering_together(CONCURRENCY);
    authentik.hold();
    let concurrency = format!("--projector-concurrency={CONCURRENCY}");
    let projector =
        Projector::start_with(NatsServer::start().await, authentik, &[&concurrency, "--sweep-interval=0"])
            .await;
    for pk in SLOW_USERS {
        projector.deliver(&format!("slow-{pk}"), &hint(pk)).await;
    }
    projector
}

async fn all_slow_ones_wait(projector: &Projector) {
    eventually("every slow user is asked for", || async {
        let n_held = projector.authentik.n_held.load(Ordering::SeqCst);
        (n_held == SLOW_USERS.count() as u64).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quick_hints_have_every_slot_while_more_slow_ones_than_slots_wait() {
    let projector = held().await;
    // Many more about one of them, as about a huge group that people join.
    for n in 0..50 {
        projector.deliver(&format!("again-{n}"), &hint(SLOW)).await;
    }
    for pk in QUICK_USERS {
        projector.deliver(&format!("quick-{pk}"), &hint(pk)).await;
    }
    projector.all_recorded(QUICK_USERS).await;
    all_slow_ones_wait(&projector).await;
    projector.authentik.release();
    projector.all_recorded(QUICK_USERS.chain(SLOW_USERS)).await;
    inbox_is_drained(&projector.nats).await;
    assert_eq!(projector.n_dead_letters().await, 0);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_hint_keeps_its_place_while_its_question_takes_half_a_minute() {
    let projector = held().await;
    all_slow_ones_wait(&projector).await;
    // As long as authentik takes for a huge group.
    tokio::time::sleep(Duration::from_secs(31)).await;
    projector.authentik.release();
    projector.all_recorded(SLOW_USERS).await;
    inbox_is_drained(&projector.nats).await;
    let delivered = projector.consumer().await.delivered;
    assert_eq!(delivered.consumer_sequence, delivered.stream_sequence, "none was delivered again");
    projector.stop().await;
}
