//! Sweeps with unconfirmed deletions, and with users that cannot be recorded.

use poem::endpoint::make_sync;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use runtime::CancellationToken;
use serde_json::json;
use testkit::eventually;

use crate::support::World;

/// Runs one full pass at the start and no further ones.
const ONCE: &[&str] = &["--sweep-interval=3600"];

/// A newly installed authentik without any users.
async fn empty_authentik() -> String {
    let bound = runtime::http::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", bound.address());
    let app = make_sync(|request| {
        let is_list = matches!(
            request.uri().path(),
            "/api/v3/core/users/" | "/api/v3/core/groups/" | "/api/v3/events/events/"
        );
        let (status, body) = if is_list {
            (StatusCode::OK, json!({"pagination": {"next": 0, "count": 0}, "results": []}))
        } else {
            (StatusCode::NOT_FOUND, json!({"detail": "No User matches the given query."}))
        };
        Response::builder()
            .status(status)
            .content_type("application/json")
            .body(body.to_string())
            .into_response()
    });
    tokio::spawn(bound.serve(app, CancellationToken::new()));
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_deletions_wait_for_an_operator() {
    let world = World::new().await;
    let sweeping = world.sweep();
    let made = world.create_users(30).await;
    world.swept().await;
    world.delete_users(&made).await;
    sweeping.says("the brake is on").await;
    // A sweep during the deletions may have recorded the first ones.
    assert!(world.n_deleted().await <= 10);
    projector::allow_deletions(&world.nats, 100, None).await.unwrap();
    eventually("the rest is recorded", || async { (world.n_deleted().await == 30).then_some(()) }).await;
    sweeping.becomes_ready().await;
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_completes_without_the_deletions_and_a_confirmation_starts_the_next_one() {
    let world = World::new().await;
    let made = world.create_users(200).await;
    world.catch_up(&[]).await;
    world.delete_users(&made).await;
    world.silently(json!({"op": "update_user", "pk": 8, "name": "Grace B. Hopper"})).await;
    let n_reads = world.n_single_reads().await;
    let sweeping = world.sweep_with(ONCE);
    let swept = world.swept().await;
    assert_eq!((swept.report.n_missing, swept.report.n_held_back), (200, 200));
    assert_eq!((swept.report.n_differing, swept.report.n_failed), (1, 0));
    assert_eq!(world.types_of("user/8").await, ["user-registered", "user-updated"]);
    assert_eq!(world.n_deleted().await, 0);
    sweeping.says("the brake is on").await;
    // Once the brake is exceeded, the remaining users are not read.
    let n_reads = world.n_single_reads().await - n_reads;
    assert!(n_reads < 50, "{n_reads} users were read singly");
    projector::allow_deletions(&world.nats, 200, None).await.unwrap();
    eventually("all are recorded", || async { (world.n_deleted().await == 200).then_some(()) }).await;
    sweeping.becomes_ready().await;
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_authentik_causes_no_deletions() {
    let mut world = World::new().await;
    let sweeping = world.sweep();
    world.swept().await;
    sweeping.stop().await;
    world.authentik = empty_authentik().await;
    let sweeping = world.sweep();
    sweeping.says("a different authentik than before").await;
    let (status, printed, said) = world.command(&["catch-up", "--allow-deletions", "100"]).await;
    assert_eq!((status, printed.as_str()), (1, ""));
    assert!(said.contains("a different authentik than before"), "{said}");
    assert_eq!(world.n_deleted().await, 0);
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_event_affects_only_its_user() {
    let world = World::new().await;
    world.create_users(20).await;
    let subject = "authentik.events.user.8.user-updated";
    world.nats.jetstream.publish(subject, "no event".into()).await.unwrap().await.unwrap();
    let sweeping = world.sweep_with(ONCE);
    sweeping.says("1 users and groups cannot be recorded").await;
    assert_eq!(world.last_sweep().await.unwrap().report.n_failed, 1);
    let state = world.state().await;
    let n_others = state["n_users"].as_u64().unwrap() + state["n_groups"].as_u64().unwrap() - 1;
    assert_eq!(world.recorded().await.len() as u64, n_others);
    sweeping.stop().await;
    let (status, _, said) = world.command(&["catch-up"]).await;
    assert_eq!(status, 1);
    assert!(said.contains("user/8 is left out"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_too_large_for_nats_affects_no_other_user() {
    let world = World::new().await;
    // Together with the other recorded values, this exceeds the size of a NATS message.
    let large = "x".repeat((1 << 20) - 300);
    let change = json!({"op": "create_user", "username": "large", "attributes": {"notes": large}});
    let pk = world.silently(change).await["pk"].clone();
    world.create_users(20).await;
    let flags = [ONCE, &["--projector-user-attributes=notes"]].concat();
    let sweeping = world.sweep_with(&flags);
    sweeping.says("1 users and groups cannot be recorded").await;
    let recorded = world.recorded().await;
    assert!(!recorded.contains_key(&format!("user/{pk}")));
    assert_eq!(
        json!(recorded.keys().filter(|subject| subject.starts_with("user/")).count() + 1),
        world.state().await["n_users"]
    );
    sweeping.stop().await;
}
