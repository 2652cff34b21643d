//! Operator commands over NATS.

use std::collections::BTreeSet;

use async_nats::HeaderMap;
use domain::command::{
    Command, DropDeadLetter, Failure, FailureKind, GetStatus, ListDeadLetters, Rebuild, ReplayDeadLetter,
    ReplayDeadLetters, Reply, Request, ShowDeadLetter,
};
use domain::operation::{Operation, OperationKind, OperationState};
use projector::projections::ProjectionName;
use runtime::CancellationToken;
use serde_json::{Value, json};
use store::publish::{NewMessage, publish};
use store::{generations, operations};
use testkit::eventually;

use super::support::World;

/// The user who sends the commands.
const OPERATOR: i64 = 7;

impl World {
    /// Sends a request and returns the raw answer, or nothing if no projector is listening.
    async fn raw_request(&self, name: &str, payload: Vec<u8>) -> Option<Vec<u8>> {
        let subject = self.nats.namespace.command_subject(name);
        let request = async_nats::Request::new().payload(payload.into());
        let answer = self.nats.client.send_request(subject, request).await.ok()?;
        Some(answer.payload.to_vec())
    }

    /// Sends a command as soon as a projector is listening.
    async fn request<C: Command + Clone>(&self, command: C) -> Result<C::Answer, Failure> {
        let request = Request { asked_by: Some(OPERATOR), command };
        let answer = eventually("a projector answers", || async {
            self.raw_request(C::NAME, serde_json::to_vec(&request).unwrap()).await
        })
        .await;
        serde_json::from_slice::<Reply<C::Answer>>(&answer).unwrap().into()
    }

    /// Stores a dead letter directly, without a failed delivery.
    async fn set_aside(&self, id: &str) {
        let mut headers = HeaderMap::new();
        headers.insert("Dead-Letter-Reason", "a bug that is fixed now");
        let subject = self.nats.namespace.dead_letter_subject(&id.parse().unwrap());
        let payload = json!({"event_type": "model_updated", "pk": 8}).to_string().into();
        publish(&self.nats, NewMessage { subject, headers, payload, expected: None }).await.unwrap();
    }

    async fn wait_until_ended(&self, begun: &Operation) -> Operation {
        eventually("the operation ended", || async {
            let operation = operations::read(&self.nats, begun.id).await.unwrap()?;
            (operation.state != OperationState::Running).then_some(operation)
        })
        .await
    }

    async fn dead_letter_ids(&self) -> Vec<String> {
        let page = self.request(ListDeadLetters { after: 0, limit: 500 }).await.unwrap();
        let mut ids: Vec<_> = page.dead_letters.into_iter().map(|letter| letter.id.to_string()).collect();
        // The projector may store several dead letters in any order.
        ids.sort();
        ids
    }
}

fn rebuild_users() -> Rebuild {
    Rebuild { projection: "users".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_request_is_answered_with_an_error() {
    let world = World::new().await;
    let projector = world.start_projector(60).await;
    world.request(GetStatus {}).await.unwrap();
    let cases: [(&str, &str, &str); 8] = [
        ("rebuild", "garbage", "bad-request"),
        ("rebuild", "\u{0}\u{1}", "bad-request"),
        ("rebuild", "{}", "bad-request"),
        ("rebuild", r#"{"asked_by":"me","projection":"users"}"#, "bad-request"),
        ("rebuild", r#"{"asked_by":1,"projection":"nothing"}"#, "not-found"),
        ("show-dead-letter", r#"{"asked_by":1,"id":"no such id"}"#, "bad-request"),
        ("list-dead-letters", r#"{"asked_by":1,"after":-1,"limit":1}"#, "bad-request"),
        ("make-coffee", "{}", "bad-request"),
    ];
    for (name, payload, kind) in cases {
        let answer = world.raw_request(name, payload.as_bytes().to_vec()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["error"]["kind"], kind, "{name} {payload}: {answer}");
    }
    world.request(GetStatus {}).await.unwrap();
    assert_eq!(operations::list(&world.nats).await.unwrap(), []);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_runs_in_the_background_and_its_record_names_the_requester() {
    let world = World::new().await;
    let projector = world.start_projector(60).await;
    world.register(1..=50).await;
    world.wait_until_served(1).await;
    let begun = world.request(rebuild_users()).await.unwrap();
    assert_eq!((begun.kind, begun.state), (OperationKind::Rebuild, OperationState::Running));
    assert_eq!((begun.subject.as_deref(), begun.asked_by), (Some("users"), Some(OPERATOR)));
    let done = world.wait_until_ended(&begun).await;
    assert_eq!((done.state, done.error), (OperationState::Done, None));
    let result = done.result.unwrap();
    assert_eq!((&result["generation"], &result["sequence"]), (&json!(2), &json!(50)));
    assert_eq!(result["fingerprint"], world.wait_until_served(2).await);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_cancels_a_rebuild_records_its_failure_and_ends_the_server() {
    let world = World::new().await;
    world.register(1..=5000).await;
    let projector = world.start_projector(60).await;
    world.wait_until_served(1).await;
    let begun = world.request(rebuild_users()).await.unwrap();
    projector.stop().await;
    let failed = operations::read(&world.nats, begun.id).await.unwrap().unwrap();
    assert_eq!(failed.state, OperationState::Failed);
    assert!(failed.error.as_deref().unwrap().contains("shut down"), "{failed:?}");
    assert_eq!(generations::list(&world.nats, "users").await.unwrap(), BTreeSet::from([1]));
    assert_eq!(world.raw_request(GetStatus::NAME, b"{}".to_vec()).await, None);
    // The lease was given back, so the next rebuild starts immediately.
    let go_on = CancellationToken::new();
    let rebuilt = world.projections.rebuild(ProjectionName::Users, |_, _| {}, &go_on);
    assert_eq!(rebuilt.await.unwrap().unwrap().generation, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_page_by_page_and_shown() {
    let world = World::new().await;
    let projector = world.start_projector(60).await;
    assert_eq!(world.dead_letter_ids().await, Vec::<String>::new());
    for id in ["a", "b", "c", "d", "e"] {
        world.set_aside(id).await;
    }
    let (mut pages, mut next) = (vec![], Some(0));
    while let Some(after) = next {
        let page = world.request(ListDeadLetters { after, limit: 2 }).await.unwrap();
        pages.push(page.dead_letters.iter().map(|letter| letter.id.to_string()).collect::<Vec<_>>());
        next = page.next;
    }
    assert_eq!(pages, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
    let shown = world.request(ShowDeadLetter { id: "c".parse().unwrap() }).await.unwrap();
    assert_eq!(shown.letter.reason, "a bug that is fixed now");
    assert!(shown.payload.contains("model_updated"), "{shown:?}");
    let unknown = world.request(ShowDeadLetter { id: "z".parse().unwrap() }).await.unwrap_err();
    assert_eq!(unknown.kind, FailureKind::NotFound);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_and_a_drop_leave_a_record_and_the_replay_names_its_requester() {
    let world = World::new().await;
    let projector = world.start_projector(60).await;
    world.set_aside("mended").await;
    world.set_aside("hopeless").await;
    let replayed = world.request(ReplayDeadLetter { id: "mended".parse().unwrap() }).await.unwrap();
    let inbox = world.nats.jetstream.get_stream(world.nats.namespace.inbox_stream()).await.unwrap();
    let subject = world.nats.namespace.inbox_subject(&replayed.replay);
    let message = inbox.get_last_raw_message_by_subject(&subject).await.unwrap();
    assert_eq!(message.headers.get("Asked-By").unwrap().as_str(), "7");
    world.request(DropDeadLetter { id: "hopeless".parse().unwrap() }).await.unwrap();
    assert_eq!(world.dead_letter_ids().await, Vec::<String>::new());
    // A command with an unknown id leaves no record.
    for failure in [
        world.request(ReplayDeadLetter { id: "mended".parse().unwrap() }).await.unwrap_err(),
        world.request(DropDeadLetter { id: "hopeless".parse().unwrap() }).await.unwrap_err(),
    ] {
        assert_eq!(failure.kind, FailureKind::NotFound);
    }
    let kept = operations::list(&world.nats).await.unwrap();
    let kept: Vec<_> = kept
        .iter()
        .map(|operation| (operation.kind, operation.subject.as_deref().unwrap(), operation.state))
        .collect();
    let done = OperationState::Done;
    let expected = [
        (OperationKind::DropDeadLetter, "hopeless", done),
        (OperationKind::ReplayDeadLetters, "mended", done),
    ];
    assert_eq!(kept, expected);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_all_ends_although_the_replays_fail_again() {
    let world = World::new().await;
    let projector = world.start_projector(60).await;
    for id in ["a", "b", "c"] {
        // Unreadable deliveries.
        let subject = world.nats.namespace.inbox_subject(&id.parse().unwrap());
        let headers = HeaderMap::new();
        publish(&world.nats, NewMessage { subject, headers, payload: "<html>".into(), expected: None })
            .await
            .unwrap();
    }
    eventually("the deliveries are dead letters", || async {
        (world.dead_letter_ids().await == ["a", "b", "c"]).then_some(())
    })
    .await;
    let begun = world.request(ReplayDeadLetters {}).await.unwrap();
    let done = world.wait_until_ended(&begun).await;
    assert_eq!((done.state, done.done, done.result), (OperationState::Done, 3, Some(json!({"replayed": 3}))));
    eventually("the replays are dead letters", || async {
        (world.dead_letter_ids().await == ["a.replay-1", "b.replay-1", "c.replay-1"]).then_some(())
    })
    .await;
    projector.stop().await;
}
