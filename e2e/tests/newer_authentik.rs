//! Values that a newer authentik adds stop nothing: types of users, actions of events, severities of notifications.

use e2e::{Feed, System};
use serde_json::{Value, json};
use testkit::eventually;
use testkit::nats::inbox_is_drained;

async fn read_subject(feed: &mut Feed, pk: i64, wanted: &str) {
    let subject = format!("user/{pk}");
    feed.read_until(wanted, |received| {
        received.iter().any(|event| event.data["subject"] == subject.as_str() && event.data["type"] == wanted)
    })
    .await;
}

async fn has_no_dead_letter(system: &System) {
    let (status, dead_letters) = system.get("/api/dead-letters", "akadmin").await;
    assert_eq!((status, &dead_letters["dead_letters"]), (200, &json!([])), "{dead_letters}");
}

#[tokio::test]
async fn a_user_of_an_unknown_type_is_recorded_and_shown_by_the_api() {
    let system = System::start().await;
    let mut feed = system.feed().await;
    let pk = system.authentik.create_user("mary").await;
    read_subject(&mut feed, pk, "user-registered").await;
    // Only the simulator knows this type.
    system.authentik.update_user(pk, json!({"type": "agent"})).await;
    read_subject(&mut feed, pk, "user-updated").await;
    eventually("the API shows the type, and filters by it", || async {
        let (_, view) = system.get(&format!("/api/users/{pk}"), "akadmin").await;
        let (_, agents) = system.get("/api/users?type=agent", "akadmin").await;
        let n_agents = agents["users"].as_array()?.len();
        (view["user"]["type"] == json!("agent") && n_agents == 1).then_some(())
    })
    .await;
    has_no_dead_letter(&system).await;
}

/// A webhook with values that no version of authentik has.
fn unheard_of(action: &str) -> Value {
    json!({
        "schema": "authentik.event.v1",
        "severity": "unheard-of",
        "event": {
            "id": format!("00000000-0000-4000-8000-{:012}", action.len()),
            "action": action,
            "actor": {"pk": 6, "kind": "unheard-of"},
            "model": {"app": "authentik_core", "model_name": "unheard-of", "pk": "x"},
            "context": {"kind": "unheard-of"},
        },
    })
}

#[tokio::test]
async fn unknown_actions_models_and_severities_stop_nothing() {
    let system = System::start().await;
    let mut feed = system.feed().await;
    let nats = system.nats.connect().await;
    // By webhook, and in the event log.
    for action in ["user_offboarded", "access_request_created", "model_updated", "unheard_of"] {
        let body = unheard_of(action).to_string();
        let subject = format!("{}.inbox.{action}", nats.namespace);
        nats.jetstream.publish(subject, body.into()).await.unwrap().await.unwrap();
        system.authentik.emit(action, 6, json!({"severity": "unheard-of"})).await;
    }
    let pk = system.authentik.create_user("mary").await;
    read_subject(&mut feed, pk, "user-registered").await;
    let (status, stdout, stderr) = system.command(&["catch-up"]).await;
    assert_eq!(status, 0, "{stdout}\n{stderr}");
    inbox_is_drained(&nats).await;
    has_no_dead_letter(&system).await;
}
