//! Dead letters: listing, showing, replaying and dropping them.

use async_nats::HeaderMap;
use domain::key::{DeliveryId, Entity};
use projector::dead_letters::{self, DeadLetterError, REPLAY_OF};
use serde_json::json;
use store::publish::{Expected, NewMessage, publish, publish_batch};
use testkit::eventually;
use testkit::nats::inbox_is_drained;

use super::support::World;

fn id(text: &str) -> DeliveryId {
    text.parse().unwrap()
}

impl World {
    /// Delivers as ingress does: as one batch, whose headers the server keeps in each message.
    async fn deliver(&self, deliveries: &[(&str, &str)]) {
        let outgoing = |(id, body): &(&str, &str)| {
            let mut headers = HeaderMap::new();
            headers.insert("Content-Type", "application/json");
            NewMessage {
                subject: self.nats.namespace.inbox_subject(&id.parse().unwrap()),
                headers,
                payload: (*body).to_owned().into(),
                expected: Some(Expected { last_sequence: 0, filter: None }),
            }
        };
        publish_batch(&self.nats, "batch", deliveries.iter().map(outgoing).collect()).await.unwrap();
    }

    /// Waits until these are exactly the dead letters.
    async fn wait_for_dead_letters(&self, ids: &[&str]) {
        eventually(&format!("the dead letters are {ids:?}"), || async {
            let letters = dead_letters::list(&self.nats).await.unwrap();
            letters.iter().map(|letter| letter.id.as_str()).eq(ids.iter().copied()).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_and_dropped() {
    let world = World::new().await;
    let projector = world.start_projector(60).await;
    world.wait_for_dead_letters(&[]).await;
    world.deliver(&[("no-json", "<html>"), ("broken", "{\"schema\": \"hint.v1\"}")]).await;
    world.wait_for_dead_letters(&["no-json", "broken"]).await;

    let list = world.run_json(&["dead-letters", "list"]).await;
    assert_eq!((&list[0]["id"], &list[0]["attempts"]), (&json!("no-json"), &json!(1)));
    assert!(list[0]["first_failure"].is_string() && list[0]["last_failure"].is_string(), "{list}");
    let (_, table, _) = world.run(&["dead-letters", "list"]).await;
    assert!(table.starts_with("ID") && table.contains("broken"), "{table}");

    let shown = world.run_json(&["dead-letters", "show", "no-json"]).await;
    assert_eq!(shown["payload"], "<html>");
    assert_eq!(shown["headers"], json!({"Content-Type": ["application/json"]}));

    let (status, stdout, _) = world.run(&["dead-letters", "drop", "no-json"]).await;
    assert_eq!((status, stdout.starts_with("dropped no-json; its reason was: ")), (0, true), "{stdout}");
    world.wait_for_dead_letters(&["broken"]).await;

    for action in ["show", "replay", "drop"] {
        let (status, stdout, stderr) = world.run(&["dead-letters", action, "no-json"]).await;
        assert_eq!((status, stdout.as_str()), (1, ""));
        assert!(stderr.contains("no dead letter has the id no-json"), "{stderr}");
    }
    let unknown = dead_letters::show(&world.nats, &id("no-json")).await;
    assert!(matches!(unknown, Err(DeadLetterError::Unknown(_))), "{unknown:?}");
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_replay_of_a_delivery_gets_the_next_number() {
    let world = World::new().await;
    let projector = world.start_projector(60).await;
    world.deliver(&[("broken", "<html>"), ("other", "<html>")]).await;
    world.wait_for_dead_letters(&["broken", "other"]).await;
    let replayed = dead_letters::replay(&world.nats, &id("broken"), None).await.unwrap();
    assert_eq!(replayed.replay, id("broken.replay-1"));
    // The replay fails too. Replaying it counts as another replay of the original delivery.
    world.wait_for_dead_letters(&["other", "broken.replay-1"]).await;
    let again = world.run_json(&["dead-letters", "replay", "broken.replay-1"]).await;
    assert_eq!(again, json!([{"id": "broken.replay-1", "replay": "broken.replay-2"}]));
    world.wait_for_dead_letters(&["other", "broken.replay-2"]).await;
    let letter = dead_letters::show(&world.nats, &id("broken.replay-2")).await.unwrap();
    assert_eq!(letter.headers[REPLAY_OF], ["broken"]);
    let all = world.run_json(&["dead-letters", "replay", "--all"]).await;
    assert_eq!((&all[0]["replay"], &all[1]["replay"]), (&json!("other.replay-1"), &json!("broken.replay-3")));
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_hint_is_processed() {
    let world = World::new().await;
    let mut headers = HeaderMap::new();
    headers.insert("Channel", "webhook");
    headers.insert("Dead-Letter-Reason", "a bug that is fixed now");
    let letter = NewMessage {
        subject: world.nats.namespace.dead_letter_subject(&id("mended")),
        headers,
        payload: json!({"event_type": "model_updated", "pk": 8}).to_string().into(),
        expected: None,
    };
    publish(&world.nats, letter).await.unwrap();
    let replayed = world.run_json(&["dead-letters", "replay", "mended"]).await;
    assert_eq!(replayed[0]["replay"], "mended.replay-1");
    world.wait_for_dead_letters(&[]).await;
    let projector = world.start_projector(60).await;
    let recorded = eventually("the user is recorded", || async {
        world.projections.log.newest(Entity::User(8)).await.unwrap()
    })
    .await;
    assert_eq!(recorded.decode().unwrap().event.causationid, id("mended.replay-1"));
    inbox_is_drained(&world.nats).await;
    projector.stop().await;
}
