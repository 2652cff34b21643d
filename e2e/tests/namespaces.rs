//! Two installations on one nats-server, one's name the beginning of the other's: neither sees the other.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use e2e::System;
use e2e::checks::converged;
use e2e::nats::Nats;
use e2e::system::Setup;
use futures_util::TryStreamExt;
use serde_json::json;
use store::log::{EventLog, ReadFrom};
use store::publish::{NewMessage, publish};
use testkit::eventually;
use testkit::nats::inbox_is_drained;
use testkit::wait::DEADLINE;

/// Each stream of a system by its name, and the sequence of its last message.
async fn streams(system: &System, prefixes: [&str; 2]) -> BTreeMap<String, u64> {
    let nats = system.nats.connect().await;
    let streams: Vec<_> = nats.jetstream.streams().try_collect().await.unwrap();
    let own = streams.into_iter().filter(|stream| {
        let name = stream.config.name.as_str();
        prefixes.iter().any(|prefix| name.starts_with(prefix))
    });
    own.map(|stream| (stream.config.name, stream.state.last_sequence)).collect()
}

/// The same life in both, under other names.
async fn live(system: &System, name: &str) -> Vec<i64> {
    let authentik = &system.authentik;
    let group = authentik.create_group(&format!("{name}-engineers")).await;
    let mut users = vec![];
    for n in 0..10 {
        let pk = authentik.create_user(&format!("{name}-{n}")).await;
        authentik.add_to_group(&group, pk).await;
        authentik.update_user(pk, json!({"name": format!("{name} {n}"), "is_active": n % 2 == 0})).await;
        users.push(pk);
    }
    authentik.delete_user(users[0]).await;
    users
}

/// Everything that is recorded, as text.
async fn recorded(system: &System) -> String {
    let log = EventLog::open(&system.nats.connect().await).await.unwrap();
    let page =
        log.page(&log.namespace().events_filter(None, None), ReadFrom::Sequence(1), 1000).await.unwrap();
    page.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
}

async fn break_a_delivery(system: &System) {
    let nats = system.nats.connect().await;
    let subject = nats.namespace.inbox_subject(&"broken".parse().unwrap());
    let message = NewMessage { subject, headers: HeaderMap::new(), payload: "<html>".into(), expected: None };
    publish(&nats, message).await.unwrap();
    eventually("the delivery is a dead letter", || async {
        let letters = nats.jetstream.get_stream(nats.namespace.dead_letters_stream()).await.ok()?;
        (letters.cached_info().state.messages == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_on_one_server_do_not_see_each_other() {
    let nats = Nats::open_server().await.named("blue".parse().unwrap());
    let beside = nats.beside("blue-2".parse().unwrap());
    let blue = System::start_on(nats, Setup::default()).await;
    let other = System::start_on(beside, Setup::default()).await;
    let (users, users_of_other) = tokio::join!(live(&blue, "sky"), live(&other, "sea"));
    assert_eq!(users, users_of_other, "both have the same keys");
    tokio::join!(converged(&blue, DEADLINE), converged(&other, DEADLINE));
    let (told, told_by_other) = tokio::join!(recorded(&blue), recorded(&other));
    assert!(told.contains("sky-3") && !told.contains("sea"), "{told}");
    assert!(told_by_other.contains("sea-3") && !told_by_other.contains("sky"), "{told_by_other}");
    for system in [&blue, &other] {
        eventually("every webhook is told", || async {
            (system.authentik.n_pending().await == 0).then_some(())
        })
        .await;
        inbox_is_drained(&system.nats.connect().await).await;
    }

    let prefixes = ["BLUE-2_", "KV_blue-2_"];
    other.operate(&["verify", "users"]).await;
    let other_before = other.operate(&["status"]).await;
    let streams_before = streams(&other, prefixes).await;
    assert!(streams_before.len() >= 7, "{streams_before:?}");
    break_a_delivery(&blue).await;
    for projection in ["users", "groups", "activity"] {
        blue.operate(&["rebuild", projection]).await;
        blue.operate(&["verify", projection]).await;
        other.operate(&["verify", projection]).await;
    }
    blue.authentik.delete_user(users[1]).await;
    blue.authentik.update_user(users[2], json!({"is_active": true, "name": "sky changed"})).await;
    converged(&blue, DEADLINE).await;
    converged(&other, DEADLINE).await;
    assert!(!recorded(&other).await.contains("sky"));
    assert_eq!(other.operate(&["dead-letters", "list"]).await, json!([]));
    let other_after = other.operate(&["status"]).await;
    assert_eq!(other_before["projections"].as_array().map(Vec::len), Some(3), "{other_before}");
    assert_eq!(other_before["projections"], other_after["projections"], "neither generation nor position");
    // Only the leases are written all the time.
    let without_meta = |mut streams: BTreeMap<String, u64>| {
        streams.remove("KV_blue-2_meta");
        streams
    };
    let streams_after = streams(&other, prefixes).await;
    assert_eq!(without_meta(streams_before), without_meta(streams_after));
}
