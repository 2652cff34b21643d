//! Follows a user from authentik to the feed and the API, with all processes killed in between.

use e2e::{Feed, System};
use serde_json::json;
use testkit::eventually;

/// The events that the feed must show for the user, in order.
const LIFE: [&str; 8] = [
    "user-registered",
    "user-updated",
    "user-deactivated",
    "user-reactivated",
    "user-joined-group",
    "user-password-changed",
    "user-left-group",
    "user-deleted",
];

/// Waits until the feed has the first `n_events` events of the user.
async fn read_life(feed: &mut Feed, pk: i64, n_events: usize) {
    let subject = format!("user/{pk}");
    feed.read_until(LIFE[n_events - 1], |received| {
        received.iter().filter(|received| received.data["subject"] == subject.as_str()).count() >= n_events
    })
    .await;
    assert_eq!(feed.types_of(pk), LIFE[..n_events]);
}

#[tokio::test]
async fn the_feed_shows_a_users_life_in_order_although_every_process_is_killed() {
    let mut system = System::start().await;
    let mut feed = system.feed().await;
    let authentik = system.authentik.clone();

    let pk = authentik.create_user("mary").await;
    read_life(&mut feed, pk, 1).await;
    authentik.update_user(pk, json!({"name": "Mary Jackson"})).await;
    read_life(&mut feed, pk, 2).await;
    authentik.update_user(pk, json!({"is_active": false})).await;
    read_life(&mut feed, pk, 3).await;

    // authentik retries the webhook that it sends during the outage.
    authentik.faults(json!({"hold_webhooks": true})).await;
    authentik.update_user(pk, json!({"is_active": true})).await;
    system.restart_everything().await;
    read_life(&mut feed, pk, 4).await;

    let group = authentik.create_group("engineers").await;
    authentik.add_to_group(&group, pk).await;
    read_life(&mut feed, pk, 5).await;
    authentik.set_password(pk).await;
    read_life(&mut feed, pk, 6).await;
    // Deleting a group removes its members. authentik does not report that.
    authentik.delete_group(&group).await;
    read_life(&mut feed, pk, 7).await;

    let path = format!("/api/users/{pk}");
    let (status, view) = system.get(&path, "akadmin").await;
    assert_eq!(
        (status, &view["status"], &view["user"]["name"]),
        (200, &json!("active"), &json!("Mary Jackson"))
    );
    assert_eq!(view["user"]["groups"], json!([]));

    authentik.delete_user(pk).await;
    read_life(&mut feed, pk, 8).await;
    eventually("the API shows the tombstone", || async {
        let (_, view) = system.get(&path, "akadmin").await;
        (view["status"] == json!("deleted")).then_some(())
    })
    .await;

    let ids: Vec<_> = feed.received.iter().map(|received| received.data["id"].clone()).collect();
    let mut unique = ids.clone();
    unique.sort_by_key(ToString::to_string);
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "an event came twice");
}
