//! An operator's requests over HTTP, while processes are killed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::key::Entity;
use e2e::System;
use e2e::dead_letters::set_aside;
use e2e::system::Setup;
use futures_util::{StreamExt, stream};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use store::log::EventLog;
use store::views;
use testkit::events::registered;
use testkit::eventually;
use testkit::nats::inbox_is_drained;

/// Holder of a lease outside of this system.
const OTHER: &str = "process 7 on other";

async fn admin(system: &System, method: Method, path: &str) -> Response {
    let token = system.authentik.token("akadmin").await;
    system.call(method, path, Some(&token)).await
}

/// The body of an answer that must have this status.
async fn expect(answer: Response, status: u16) -> Value {
    let (url, actual) = (answer.url().clone(), answer.status().as_u16());
    let text = answer.text().await.unwrap();
    assert_eq!(actual, status, "{url}: {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

async fn get(system: &System, path: &str) -> Value {
    expect(admin(system, Method::GET, path).await, 200).await
}

/// Starts an operation. Returns the path of its progress.
async fn start(system: &System, path: &str) -> String {
    let answer = admin(system, Method::POST, path).await;
    let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    let operation = expect(answer, 202).await;
    let location = location.unwrap_or_else(|| panic!("the answer of {path} has no Location"));
    assert_eq!(location, format!("/api/operations/{}", operation["id"].as_str().unwrap()));
    location
}

/// Waits for the end of an operation, whose progress must never go back.
async fn finish(system: &System, location: &str) -> Value {
    let last = AtomicU64::new(0);
    eventually("the operation ended", || async {
        let operation = get(system, location).await;
        let done = operation["done"].as_u64()?;
        let before = last.swap(done, Ordering::Relaxed);
        assert!(done >= before && done <= operation["of"].as_u64()?, "{operation} after {before}");
        (operation["state"] != "running").then_some(operation)
    })
    .await
}

async fn fold_everything(system: &System) {
    eventually("the projections are folded", || async {
        let status = get(system, "/api/status").await;
        let projections = status["projections"].as_array()?;
        (projections.len() == 3
            && projections.iter().all(|one| one["generation"].is_u64() && one["lag"] == 0))
        .then_some(())
    })
    .await;
}

/// Records users that authentik does not know. Sweeps must be off, as they would delete them.
async fn record_many(system: &System, n_users: i64) {
    let log = EventLog::open(&system.nats.connect().await).await.unwrap();
    let appended = stream::iter(1_000_000..1_000_000 + n_users).map(|pk| {
        let log = &log;
        async move { log.append(Entity::User(pk), 0, &[registered(pk, 0)]).await.unwrap() }
    });
    assert_eq!(appended.buffer_unordered(64).count().await, usize::try_from(n_users).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_replayed_and_dropped() {
    let system = System::start().await;
    fold_everything(&system).await;
    let me =
        eventually("the operator is recorded", || async { get(&system, "/api/me").await["pk"].as_i64() })
            .await;
    for id in ["a", "b", "c", "d"] {
        set_aside(&system, id).await;
    }
    let page = get(&system, "/api/dead-letters?limit=3").await;
    let ids = |page: &Value| -> Vec<String> {
        let letters = page["dead_letters"].as_array().unwrap().iter();
        letters.map(|letter| letter["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&page), ["a", "b", "c"]);
    assert_eq!(
        (&page["dead_letters"][0]["attempts"], &page["dead_letters"][0]["first_failure"]),
        (&json!(3), &Value::Null)
    );
    let next = page["next"].as_str().unwrap();
    let rest = get(&system, &format!("/api/dead-letters?limit=3&cursor={next}")).await;
    assert_eq!((ids(&rest), rest.get("next")), (vec!["d".to_owned()], None));

    let shown = get(&system, "/api/dead-letters/b").await;
    assert_eq!((&shown["id"], &shown["headers"]), (&json!("b"), &json!({})));
    assert!(shown["payload"].as_str().unwrap().contains("model_updated"), "{shown}");

    let replayed = expect(admin(&system, Method::POST, "/api/dead-letters/a/replay").await, 200).await;
    assert_eq!(replayed, json!({"id": "a", "replay": "a.replay-1"}));
    expect(admin(&system, Method::DELETE, "/api/dead-letters/b").await, 204).await;
    for (method, path) in [
        (Method::GET, "/api/dead-letters/a"),
        (Method::POST, "/api/dead-letters/a/replay"),
        (Method::DELETE, "/api/dead-letters/b"),
    ] {
        let problem = expect(admin(&system, method, path).await, 404).await;
        assert!(problem["detail"].as_str().unwrap().contains("no dead letter has the id"), "{problem}");
    }
    let done = finish(&system, &start(&system, "/api/dead-letters/replay").await).await;
    assert_eq!((&done["state"], &done["result"]), (&json!("done"), &json!({"replayed": 2})));
    assert_eq!(ids(&get(&system, "/api/dead-letters").await), Vec::<String>::new());
    inbox_is_drained(&system.nats.connect().await).await;

    let operations = get(&system, "/api/operations").await;
    let kept: Vec<_> = operations["operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["kind"].as_str().unwrap(), one["subject"].as_str(), one["asked_by"].as_i64()))
        .collect();
    let expected = [
        ("replay-dead-letters", None, Some(me)),
        ("drop-dead-letter", Some("b"), Some(me)),
        ("replay-dead-letters", Some("a"), Some(me)),
    ];
    assert_eq!(kept, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_ends_with_its_fingerprint_and_a_concurrent_one_is_refused() {
    let system = System::start_with(Setup { sweep_interval: 0, ..Setup::default() }).await;
    record_many(&system, 2_000).await;
    fold_everything(&system).await;
    let live = system.operate(&["verify", "users"]).await;
    let done = finish(&system, &start(&system, "/api/projections/users/rebuild").await).await;
    assert_eq!((&done["state"], &done["done"]), (&json!("done"), &done["of"]), "{done}");
    assert_eq!((&done["result"]["fingerprint"], &done["result"]["generation"]), (&live["served"], &json!(2)));
    expect(admin(&system, Method::POST, "/api/projections/nothing/rebuild").await, 404).await;

    // Another process rebuilds as long as it renews its lease.
    let nats = system.nats.connect().await;
    let other = tokio::spawn(async move {
        let (meta, key) = (nats.namespace.meta_bucket(), "lease.rebuild.users");
        let held = views::read::<Value>(&nats, &meta, key).await.unwrap();
        let mut revision = held.map_or(0, |entry| entry.revision);
        let mut renewals = tokio::time::interval(Duration::from_millis(200));
        loop {
            renewals.tick().await;
            let lease = json!({"holder": OTHER});
            revision = views::write(&nats, &meta, key, &lease, revision).await.unwrap().sequence;
        }
    });
    eventually("another process has the lease", || async {
        let nats = system.nats.connect().await;
        let lease = views::read::<Value>(&nats, &nats.namespace.meta_bucket(), "lease.rebuild.users").await;
        (lease.unwrap()?.value["holder"] == OTHER).then_some(())
    })
    .await;
    let refused = admin(&system, Method::POST, "/api/projections/users/rebuild").await;
    let problem = expect(refused, 409).await;
    assert!(problem["detail"].as_str().unwrap().contains("users is already being rebuilt"), "{problem}");
    other.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_whose_projector_is_killed_is_shown_as_failed() {
    let mut system = System::start_with(Setup { sweep_interval: 0, ..Setup::default() }).await;
    record_many(&system, 5_000).await;
    fold_everything(&system).await;
    let location = start(&system, "/api/projections/users/rebuild").await;
    system.kill_projectors().await;
    let failed = finish(&system, &location).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("died"), "{failed}");
    // An API that started after the operation shows it too.
    system.restart_api().await;
    system.restart_projectors().await;
    system.ready().await;
    assert_eq!(get(&system, &location).await, failed);
    fold_everything(&system).await;
    let done = finish(&system, &start(&system, "/api/projections/users/rebuild").await).await;
    assert_eq!((&done["state"], &done["result"]["generation"]), (&json!("done"), &json!(2)), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_every_projector_and_an_absence_of_projectors() {
    let setup = Setup { n_projectors: 2, ..Setup::default() };
    let mut system = System::start_with(setup).await;
    let status = eventually("both are ready and a sweep is complete", || async {
        let status = get(&system, "/api/status").await;
        let projectors = status["projectors"].as_array()?;
        let all_ready = projectors.len() == 2 && projectors.iter().all(|one| one["ready"] == true);
        (all_ready && status["last_sweep"].is_object()).then_some(status)
    })
    .await;
    assert_ne!(status["projectors"][0]["id"], status["projectors"][1]["id"]);
    assert!(status["backlog"]["pending"].is_u64() && status["backlog"]["in_hand"].is_u64(), "{status}");
    assert_eq!(status["projections"][0]["name"], "users");
    assert!(status["last_sweep"]["report"]["n_users"].as_u64().unwrap() > 0, "{status}");

    system.authentik.faults(json!({"rest_status": 403})).await;
    eventually("both report the refused token", || async {
        let status = get(&system, "/api/status").await;
        let projectors = status["projectors"].as_array()?;
        let says = |one: &Value| one["failures"].to_string().contains("token") && one["ready"] == false;
        (projectors.len() == 2 && projectors.iter().all(says)).then_some(())
    })
    .await;

    system.kill_projectors().await;
    let status = get(&system, "/api/status").await;
    assert_eq!((&status["projectors"], &status["backlog"]), (&json!([]), &Value::Null));
    let problem = expect(admin(&system, Method::POST, "/api/projections/users/rebuild").await, 503).await;
    assert!(problem["detail"].as_str().unwrap().contains("no projector is running"), "{problem}");
}
