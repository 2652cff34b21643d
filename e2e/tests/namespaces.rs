//! Two installations on one nats-server are isolated, although one namespace is a prefix of the other.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use e2e::System;
use e2e::checks::{PROJECTIONS, converged};
use e2e::nats::Nats;
use e2e::system::Setup;
use futures_util::TryStreamExt;
use serde_json::json;
use store::log::{EventLog, ReadFrom};
use store::publish::{NewMessage, publish};
use testkit::eventually;
use testkit::nats::inbox_is_drained;
use testkit::wait::DEADLINE;

/// Last sequence of each stream of a system, by the stream's name.
async fn streams(system: &System, prefixes: [&str; 2]) -> BTreeMap<String, u64> {
    let nats = system.nats.connect().await;
    let streams: Vec<_> = nats.jetstream.streams().try_collect().await.unwrap();
    let own = streams.into_iter().filter(|stream| {
        let name = stream.config.name.as_str();
        prefixes.iter().any(|prefix| name.starts_with(prefix))
    });
    own.map(|stream| (stream.config.name, stream.state.last_sequence)).collect()
}

/// Makes the same changes in each system, with other names.
async fn make_changes(system: &System, name: &str) -> Vec<i64> {
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

/// All recorded events as text.
async fn recorded(system: &System) -> String {
    let log = EventLog::open(&system.nats.connect().await).await.unwrap();
    let page =
        log.page(&log.namespace().events_filter(None, None), ReadFrom::Sequence(1), 1000).await.unwrap();
    page.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
}

async fn create_dead_letter(system: &System) {
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
    let nats_of_other = nats.beside("blue-2".parse().unwrap());
    let blue = System::start_on(nats, Setup::default()).await;
    let other = System::start_on(nats_of_other, Setup::default()).await;
    let (users, users_of_other) = tokio::join!(make_changes(&blue, "sky"), make_changes(&other, "sea"));
    assert_eq!(users, users_of_other, "both systems must have the same primary keys");
    tokio::join!(converged(&blue, DEADLINE), converged(&other, DEADLINE));
    let (recorded_by_blue, recorded_by_other) = tokio::join!(recorded(&blue), recorded(&other));
    assert!(recorded_by_blue.contains("sky-3") && !recorded_by_blue.contains("sea"), "{recorded_by_blue}");
    assert!(recorded_by_other.contains("sea-3") && !recorded_by_other.contains("sky"), "{recorded_by_other}");
    for system in [&blue, &other] {
        system.authentik.finish_deliveries().await;
        inbox_is_drained(&system.nats.connect().await).await;
    }

    let prefixes = ["BLUE-2_", "KV_blue-2_"];
    other.operate(&["verify", "users"]).await;
    let other_before = other.operate(&["status"]).await;
    let streams_before = streams(&other, prefixes).await;
    assert!(streams_before.len() >= 7, "{streams_before:?}");
    create_dead_letter(&blue).await;
    for projection in PROJECTIONS {
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
    assert_eq!(
        other_before["projections"], other_after["projections"],
        "neither generation nor checkpoint may change"
    );
    // Leases in the meta bucket are renewed all the time.
    let without_meta = |mut streams: BTreeMap<String, u64>| {
        streams.remove("KV_blue-2_meta");
        streams
    };
    let streams_after = streams(&other, prefixes).await;
    assert_eq!(without_meta(streams_before), without_meta(streams_after));
}
