//! Operator actions without a projector. For those with a projector, see e2e/tests/operator.rs.

use domain::operation::{Operation, OperationKind};
use reqwest::Method;
use serde_json::{Value, json};
use store::operations::{self, RunningOperation};
use testkit::eventually;
use uuid::Uuid;

use crate::support::events::{deactivated, registered, user};
use crate::support::{ADMINS, World, problem};

#[tokio::test]
async fn operator_actions_without_a_projector_get_503() {
    let world = World::start().await;
    let admin = world.admin();
    let routes = [
        (Method::GET, "/api/dead-letters"),
        (Method::GET, "/api/dead-letters/a"),
        (Method::POST, "/api/dead-letters/a/replay"),
        (Method::POST, "/api/dead-letters/replay"),
        (Method::DELETE, "/api/dead-letters/a"),
        (Method::POST, "/api/projections/users/rebuild"),
    ];
    for (method, path) in routes {
        let answer = world.call(method, path, Some(&admin)).await;
        assert!(answer.headers().contains_key("retry-after"), "{path}");
        let detail = problem(answer, 503).await;
        assert!(detail.contains("no projector is running"), "{path}: {detail}");
    }
    let status = world.json("/api/status", Some(&admin)).await;
    assert_eq!((&status["projectors"], &status["projections"]), (&json!([]), &json!([])));
    assert_eq!((&status["backlog"], &status["last_sweep"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn an_invalid_operator_request_gets_a_problem_that_names_the_cause() {
    let world = World::start().await;
    let admin = world.admin();
    let cases = [
        (Method::GET, "/api/dead-letters?limit=0", 400, "limit"),
        (Method::GET, "/api/dead-letters?cursor=x", 400, "cursor"),
        (Method::GET, "/api/dead-letters/no%20id", 400, "id"),
        (Method::DELETE, "/api/dead-letters/no%20id", 400, "id"),
        (Method::GET, "/api/operations/x", 400, "path"),
        (Method::GET, "/api/operations/00000000-0000-4000-8000-000000000000", 404, "no operation"),
    ];
    for (method, path, status, cause) in cases {
        let detail = problem(world.call(method, path, Some(&admin)).await, status).await;
        assert!(detail.contains(cause), "{path}: {detail}");
    }
}

#[tokio::test]
async fn operations_are_kept_over_a_restart() {
    let mut world = World::start().await;
    let begin = async |number: u128, began: &str| {
        let id = Uuid::from_u128(number);
        let kind = OperationKind::Rebuild;
        let operation = Operation::begun(id, kind, Some("users".into()), Some(1), began.parse().unwrap());
        RunningOperation::begin(&world.nats, operation).await.unwrap()
    };
    let mut first = begin(1, "2026-11-22T08:00:00Z").await;
    let mut second = begin(2, "2026-11-22T09:00:00Z").await;
    let ended = "2026-11-22T08:00:01Z".parse().unwrap();
    first.end(Ok(json!({"fingerprint": "abc"})), ended).await.unwrap();
    world.restart_api().await;
    let admin = world.admin();
    let list = world.json("/api/operations", Some(&admin)).await;
    let ids: Vec<_> = list["operations"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [Uuid::from_u128(2).to_string(), Uuid::from_u128(1).to_string()]);
    let done = json!({
        "id": Uuid::from_u128(1), "kind": "rebuild", "subject": "users", "state": "done", "done": 1, "of": 1,
        "asked_by": 1, "began": "2026-11-22T08:00:00.000000Z", "ended": "2026-11-22T08:00:01.000000Z",
        "result": {"fingerprint": "abc"},
    });
    assert_eq!(list["operations"][1], done);
    // An operation without a recent update would count as failed, because its projector may have died.
    second.set_progress(3, 7);
    second.save().await.unwrap();
    let running = world.json(&format!("/api/operations/{}", Uuid::from_u128(2)), Some(&admin)).await;
    let progress = (&running["state"], &running["done"], &running["of"], running.get("ended"));
    assert_eq!(progress, (&json!("running"), &json!(3), &json!(7), None));
    assert_eq!(operations::list(&world.nats).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_caller_who_makes_too_many_changes_gets_429_and_others_do_not() {
    let world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    let token = world.token(1, &[]);
    let mut n_accepted = 0;
    let refused = loop {
        let answer = world.call(Method::POST, "/api/me/resync", Some(&token)).await;
        if answer.status().as_u16() != 202 {
            break answer;
        }
        n_accepted += 1;
        assert!(n_accepted < 100, "no change is refused");
    };
    assert!(n_accepted >= 10, "{n_accepted}");
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=7).contains(&wait), "{wait}");
    problem(refused, 429).await;
    // Another token of the same user shares the limit.
    let other = world.token(1, &[ADMINS]);
    problem(world.call(Method::POST, "/api/dead-letters/replay", Some(&other)).await, 429).await;
    // Reads are not limited, and other callers have their own limits.
    world.json("/api/me", Some(&token)).await;
    let other_caller = world.call(Method::POST, "/api/users/1/resync", Some(&world.admin())).await;
    assert_eq!(other_caller.status().as_u16(), 202);
}

#[tokio::test]
async fn the_location_of_a_resync_shows_its_events() {
    let world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    let token = world.token(1, &[]);
    for (path, token) in [("/api/me/resync", &token), ("/api/users/1/resync", &world.admin())] {
        let answer = world.call(Method::POST, path, Some(token)).await;
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        assert_eq!(world.json(&location, Some(token)).await["events"], json!([]), "{path}");
    }
    let answer = world.call(Method::POST, "/api/users/1/resync", Some(&world.admin())).await;
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    world.record(deactivated(user(1, "ada"))).await;
    eventually("the event appears", || async {
        let page = world.json(&location, Some(&world.admin())).await;
        (page["events"][0]["type"] == "user-deactivated").then_some(())
    })
    .await;
    // An unrecorded caller has no events to show.
    let unrecorded = world.call(Method::POST, "/api/me/resync", Some(&world.token(5, &[]))).await;
    assert_eq!(unrecorded.headers()["location"], "/api/me");
}
