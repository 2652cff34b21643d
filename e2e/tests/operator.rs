//! What an operator does over HTTP, with real processes that are killed in the middle of it.
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

/// Holder of a lease that is none of ours.
const OTHER: &str = "process 7 on other";

async fn admin(system: &System, method: Method, path: &str) -> Response {
    let token = system.authentik.token("akadmin").await;
    system.call(method, path, Some(&token)).await
}

/// The body of an answer, which must have this status.
async fn expect(answer: Response, status: u16) -> Value {
    let (url, actual) = (answer.url().clone(), answer.status().as_u16());
    let text = answer.text().await.unwrap();
    assert_eq!(actual, status, "{url}: {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

async fn get(system: &System, path: &str) -> Value {
    expect(admin(system, Method::GET, path).await, 200).await
}

/// Begins something that takes long. Returns where it can be followed.
async fn begin(system: &System, path: &str) -> String {
    let answer = admin(system, Method::POST, path).await;
    let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    let begun = expect(answer, 202).await;
    let location = location.unwrap_or_else(|| panic!("{path} does not say where to follow it"));
    assert_eq!(location, format!("/api/operations/{}", begun["id"].as_str().unwrap()));
    location
}

/// Follows an operation, which must only get on, to its end.
async fn ended(system: &System, location: &str) -> Value {
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

async fn folded(system: &System) {
    eventually("the projections are folded", || async {
        let status = get(system, "/api/status").await;
        let projections = status["projections"].as_array()?;
        (projections.len() == 3
            && projections.iter().all(|one| one["generation"].is_u64() && one["lag"] == 0))
        .then_some(())
    })
    .await;
}

/// Records so many users whom authentik does not know; nothing may sweep them.
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
    folded(&system).await;
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
    let done = ended(&system, &begin(&system, "/api/dead-letters/replay").await).await;
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
async fn a_rebuild_is_followed_to_its_fingerprint_and_a_second_one_refused() {
    let system = System::start_with(Setup { sweep_interval: 0, ..Setup::default() }).await;
    record_many(&system, 2_000).await;
    folded(&system).await;
    let live = system.operate(&["verify", "users"]).await;
    let done = ended(&system, &begin(&system, "/api/projections/users/rebuild").await).await;
    assert_eq!((&done["state"], &done["done"]), (&json!("done"), &done["of"]), "{done}");
    assert_eq!((&done["result"]["fingerprint"], &done["result"]["generation"]), (&live["served"], &json!(2)));
    expect(admin(&system, Method::POST, "/api/projections/nothing/rebuild").await, 404).await;

    // Another one runs, for as long as it renews its lease.
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
    eventually("another one is at it", || async {
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
    folded(&system).await;
    let location = begin(&system, "/api/projections/users/rebuild").await;
    system.kill_projectors().await;
    let failed = ended(&system, &location).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("died"), "{failed}");
    // Also to an API that was not there when it began.
    system.restart_api().await;
    system.restart_projectors().await;
    system.ready().await;
    assert_eq!(get(&system, &location).await, failed);
    folded(&system).await;
    let done = ended(&system, &begin(&system, "/api/projections/users/rebuild").await).await;
    assert_eq!((&done["state"], &done["result"]["generation"]), (&json!("done"), &json!(2)), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_of_every_projector_and_of_none() {
    let setup = Setup { n_projectors: 2, ..Setup::default() };
    let mut system = System::start_with(setup).await;
    let status = eventually("both are ready, and have swept", || async {
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
    eventually("they say what is wrong", || async {
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
