//! Sweeps find every change without a webhook, and an authentik that seems empty causes no deletions.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod brake;
mod catch_up;
mod scale;
#[path = "../support/service.rs"]
mod service;
mod support;

use domain::event::EventBody;
use serde_json::json;
use testkit::eventually;

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_imports_all_users_and_groups_once() {
    let world = World::new().await;
    let sweeping = world.sweep();
    world.silently(json!({"op": "create_users", "count": 250, "prefix": "import-"})).await;
    let swept = world.swept().await;
    let state = world.state().await;
    assert_eq!(json!(swept.report.n_users), state["n_users"]);
    let swept = world.swept().await;
    assert_eq!((swept.report.n_imported, swept.report.n_differing, swept.report.n_missing), (0, 0, 0));
    world.everything_is_imported_once().await;
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_without_a_webhook_are_found_and_recorded_once() {
    let world = World::new().await;
    let sweeping = world.sweep();
    world.swept().await;
    world.silently(json!({"op": "update_user", "pk": 8, "name": "Grace B. Hopper"})).await;
    world.silently(json!({"op": "add_to_group", "pk": 6, "group": "navy"})).await;
    world.silently(json!({"op": "delete_user", "pk": 7})).await;
    world.silently(json!({"op": "delete_group", "group": "mathematics"})).await;
    world.swept().await;
    let swept = world.swept().await;
    assert_eq!((swept.report.n_differing, swept.report.n_missing), (0, 0));
    assert_eq!(world.types_of("user/8").await, ["user-registered", "user-updated"]);
    assert_eq!(world.types_of("user/6").await, ["user-registered", "user-left-group", "user-joined-group"]);
    assert_eq!(world.types_of("user/7").await, ["user-registered", "user-deleted"]);
    let groups = world.recorded().await;
    let n_deleted =
        groups.values().flatten().filter(|body| matches!(body, EventBody::GroupDeleted(_))).count();
    assert_eq!(n_deleted, 1);
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_a_webhook_are_backfilled_from_the_event_log_once() {
    let world = World::new().await;
    let sweeping = world.sweep();
    world.swept().await;
    for n in 0..130 {
        let action = if n % 2 == 0 { "login" } else { "logout" };
        world.control("emit", json!({"action": action, "user_pk": 8})).await;
    }
    let n_facts = async || world.types_of("user/8").await.len() - 1;
    eventually("every fact is recorded", || async { (n_facts().await == 130).then_some(()) }).await;
    // Two more backfills read the same events again.
    world.swept().await;
    world.swept().await;
    testkit::nats::inbox_is_drained(&world.nats).await;
    assert_eq!(n_facts().await, 130);
    let recorded = world.recorded().await;
    assert!(matches!(recorded["user/8"][1], EventBody::UserLoggedIn(_)), "oldest event first");
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pinned_user_can_be_deleted() {
    let world = World::new().await;
    let sweeping = world.sweep();
    world.swept().await;
    world.silently(json!({"op": "delete_user", "pk": 3})).await;
    world.silently(json!({"op": "delete_user", "pk": 9})).await;
    eventually("both are recorded", || async { (world.n_deleted().await == 2).then_some(()) }).await;
    sweeping.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pinned_user_can_be_erased() {
    let world = World::new().await;
    let sweeping = world.sweep();
    world.swept().await;
    let state = world.state().await;
    let pinned = state["users"].as_array().unwrap().iter().find(|user| user["pk"] == 3).unwrap();
    let (status, _, said) = world.command(&["forget", "--force", "3"]).await;
    assert_eq!(status, 0, "{said}");
    // The uuid was never written to the bucket, whose files keep overwritten values.
    let meta = world.server.store_dir().join("jetstream/$G/streams/KV_authentik_meta/msgs");
    let files = std::fs::read_dir(meta).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let content: Vec<u8> = files.flatten().collect();
    let has = |text: &str| content.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("uuid_sha256") && !has(pinned["uuid"].as_str().unwrap()));

    world.swept().await;
    world.silently(json!({"op": "delete_user", "pk": 3})).await;
    world.silently(json!({"op": "delete_user", "pk": 9})).await;
    eventually("both are recorded", || async { (world.n_deleted().await == 2).then_some(()) }).await;
    assert_eq!(world.types_of("user/3").await, ["user-erased", "user-registered", "user-deleted"]);
    sweeping.stop().await;
}
