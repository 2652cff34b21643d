//! Slow requests to authentik do not block other hints.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

use testkit::nats::inbox_is_drained;
use testkit::{NatsServer, eventually};

use crate::support::{Authentik, Projector, SLOW, hint};

const CONCURRENCY: usize = 4;
const SLOW_USERS: RangeInclusive<i64> = SLOW..=SLOW + 11;
const QUICK_USERS: RangeInclusive<i64> = 1..=40;

/// A projector with hints about three times as many slow users as slots. Authentik holds their answers back.
async fn projector_with_slow_hints() -> Projector {
    // Quick requests are answered only if they occupy all slots at once.
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

async fn all_slow_users_are_requested(projector: &Projector) {
    eventually("every slow user is requested", || async {
        let n_held = projector.authentik.n_held.load(Ordering::SeqCst);
        (n_held == SLOW_USERS.count() as u64).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quick_hints_get_every_slot_while_more_slow_hints_than_slots_wait() {
    let projector = projector_with_slow_hints().await;
    // Many more hints about one slow user, like those about a huge group with many new members.
    for n in 0..50 {
        projector.deliver(&format!("again-{n}"), &hint(SLOW)).await;
    }
    for pk in QUICK_USERS {
        projector.deliver(&format!("quick-{pk}"), &hint(pk)).await;
    }
    projector.all_recorded(QUICK_USERS).await;
    all_slow_users_are_requested(&projector).await;
    projector.authentik.release();
    projector.all_recorded(QUICK_USERS.chain(SLOW_USERS)).await;
    inbox_is_drained(&projector.nats).await;
    assert_eq!(projector.n_dead_letters().await, 0);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn a_hint_is_not_redelivered_while_its_request_takes_half_a_minute() {
    let projector = projector_with_slow_hints().await;
    all_slow_users_are_requested(&projector).await;
    // authentik takes this long for a huge group.
    tokio::time::sleep(Duration::from_secs(31)).await;
    projector.authentik.release();
    projector.all_recorded(SLOW_USERS).await;
    inbox_is_drained(&projector.nats).await;
    let delivered = projector.consumer().await.delivered;
    assert_eq!(delivered.consumer_sequence, delivered.stream_sequence, "no hint was redelivered");
    projector.stop().await;
}
