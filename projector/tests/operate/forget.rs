//! Which users `forget` refuses to erase, and which ambiguous messages it erases.

use async_nats::HeaderMap;
use domain::event::payload::{Trigger, UserRegistered};
use domain::event::{Event, EventBody};
use domain::hint::ERASED_BODY;
use domain::key::Entity;
use domain::snapshot::User;
use poem::endpoint::make_sync;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use runtime::CancellationToken;
use serde_json::json;
use store::publish::{NewMessage, PublishError, publish};
use testkit::events::registered;
use testkit::{eventually, recordings};
use uuid::Uuid;

use super::support::World;

const NOT_JSON: &str = "<html>Dear mary,";

impl World {
    /// Appends an event `user-registered` for a user with this name.
    async fn register_as(&self, pk: i64, username: &str, uuid: Uuid) {
        let user = User { uuid, username: username.into(), ..User::partial(pk, username.to_uppercase()) };
        let trigger = Trigger::default();
        let body = EventBody::UserRegistered(UserRegistered { user, partial: false, trigger });
        let event = Event { body, ..registered(pk, 0) };
        self.projections.log.append(Entity::User(pk), 0, &[event]).await.unwrap();
    }

    async fn publish(&self, subject: String, payload: &'static str) -> u64 {
        let outgoing =
            NewMessage { subject, headers: HeaderMap::new(), payload: payload.into(), expected: None };
        publish(&self.nats, outgoing).await.unwrap().sequence
    }

    /// Runs `forget`, which must fail and append nothing. Returns its error.
    async fn forget_fails(&self, arguments: &[&str]) -> String {
        let before = self.projections.log.bounds().await.unwrap();
        let (status, stdout, stderr) = self.run(arguments).await;
        assert_eq!((status, stdout.as_str(), stderr.lines().count()), (1, "", 1), "{arguments:?}: {stderr}");
        assert_eq!(self.projections.log.bounds().await.unwrap(), before, "{arguments:?}");
        stderr
    }

    async fn n_dead_letters(&self) -> usize {
        projector::dead_letters::list(&self.nats).await.unwrap().len()
    }
}

/// Serves an authentik with user 8 only, or without users. Returns the flag with its URL.
async fn authentik(is_empty: bool) -> String {
    let rest = runtime::http::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", rest.address());
    let app = make_sync(move |request| {
        let grace = recordings::json("rest/user.json")["body"].clone();
        let users = if is_empty { vec![] } else { vec![grace.clone()] };
        let (status, body) = match request.uri().path().rsplit('/').nth(1) {
            Some("users") => {
                (StatusCode::OK, json!({"pagination": {"next": 0, "count": users.len()}, "results": users}))
            }
            Some("8") if !is_empty => (StatusCode::OK, grace),
            _ => (StatusCode::NOT_FOUND, json!({"detail": "No User matches the given query."})),
        };
        let answer = Response::builder().status(status).content_type("application/json");
        answer.body(body.to_string()).into_response()
    });
    tokio::spawn(rest.serve(app, CancellationToken::new()));
    format!("--authentik-url={url}")
}

fn grace() -> Uuid {
    recordings::json("rest/user.json")["body"]["uuid"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_or_unknown_user_prevents_the_erasure() {
    let world = World::new().await;
    world.register_as(51, "mary", Uuid::from_u128(51)).await;
    world.register_as(52, "mary", Uuid::from_u128(52)).await;
    for (user, expected) in [
        ("mary", "users 51, 52 are all recorded with the username \"mary\": give the primary key"),
        ("Mary", "no user is recorded with the username \"Mary\": give the primary key"),
        ("99", "nothing is recorded about user 99"),
        ("00000000-0000-0000-0000-000000000099", "no user is recorded with the uuid"),
    ] {
        let stderr = world.forget_fails(&["forget", "--force", "51", user]).await;
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_erased_only_after_authentik_confirms_the_deletion() {
    let world = World::new().await;
    world.register_as(8, "grace", grace()).await;
    world.register_as(51, "mary", Uuid::from_u128(51)).await;
    let (url, empty) = (authentik(false).await, authentik(true).await);
    let away = "--authentik-url=http://127.0.0.1:1".to_owned();
    let token = "--authentik-token=token";
    let stderr = world.forget_fails(&["forget", "51"]).await;
    assert!(stderr.starts_with("error: AUTHENTIK_URL "), "{stderr}");
    for (authentik, user, expected) in [
        (&away, "51", "authentik is unavailable: cannot connect"),
        (&empty, "51", "this is a different authentik than before, or an empty one"),
        (&url, "8", "user 8 still exists in authentik: delete the user there first"),
        (&url, &grace().to_string(), "user 8 still exists in authentik"),
    ] {
        let stderr = world.forget_fails(&[authentik, token, "forget", "51", user]).await;
        assert!(stderr.contains(expected) && stderr.contains("nothing was erased"), "{stderr}");
    }
    let (status, _, stderr) = world.run(&[&url, token, "forget", "mary"]).await;
    assert_eq!(status, 0, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_erases_a_delivery_that_an_interrupted_run_replaced() {
    let world = World::new().await;
    let projector = world.start_projector(60).await;
    world.register_as(51, "mary", Uuid::from_u128(51)).await;
    let subject = world.nats.namespace.inbox_subject(&"cut-off".parse().unwrap());
    // The text that the delivery mentions is no longer recorded.
    let original = world.publish(subject.clone(), r#"{"username": "a name of long ago"}"#).await;
    let replacement = store::inbox::replace(&world.nats, subject.clone(), original).await.unwrap();
    let erased = world.run_json(&["forget", "--force", "mary"]).await;
    assert_eq!(erased["n_deliveries"], 1);
    let inbox = world.nats.jetstream.get_stream(world.nats.namespace.inbox_stream()).await.unwrap();
    let left = inbox.get_first_raw_message_by_subject(&subject, 1).await.unwrap();
    assert_eq!((left.sequence, &left.payload[..]), (replacement.sequence, ERASED_BODY.as_bytes()));
    // The inbox refuses the same delivery.
    let id = "cut-off".parse().unwrap();
    let again =
        store::inbox::put_delivery(&world.nats, &id, domain::event::Channel::EventLog, "{}".into()).await;
    assert_eq!(again, Err(PublishError::Conflict));
    // Repeating the erasure changes nothing.
    let (status, _, stderr) = world.run(&["forget", "--force", "mary"]).await;
    assert!(status == 1 && stderr.contains("no user is recorded with the username"), "{stderr}");
    let repeated = world.run_json(&["forget", "--force", "51"]).await;
    assert_eq!(
        repeated["users"],
        json!([{"pk": 51, "receipt": erased["users"][0]["receipt"], "n_events": 0}])
    );
    assert_eq!(repeated["n_deliveries"], 0);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_with_a_shared_name_is_erased_with_the_last_user_of_that_name() {
    let world = World::new().await;
    let projector = world.start_projector(60).await;
    world.register_as(51, "mary", Uuid::from_u128(51)).await;
    world.register_as(52, "mary", Uuid::from_u128(52)).await;
    world.publish(world.nats.namespace.dead_letter_subject(&"a".parse().unwrap()), NOT_JSON).await;
    assert_eq!(world.run_json(&["forget", "--force", "51"]).await["n_dead_letters"], 0);
    assert_eq!(world.n_dead_letters().await, 1);
    assert_eq!(world.run_json(&["forget", "--force", "52"]).await["n_dead_letters"], 1);
    assert_eq!(world.n_dead_letters().await, 0);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_several_users_rebuilds_each_projection_once() {
    let world = World::new().await;
    let projector = world.start_projector(60).await;
    world.register(1..=3).await;
    world.wait_until_served(1).await;
    let erased = world.run_json(&["forget", "--force", "1", "3"]).await;
    let generations: Vec<_> =
        erased["projections"].as_array().unwrap().iter().map(|one| &one["generation"]).collect();
    assert_eq!(generations, [2, 2, 2]);
    world.wait_until_served(2).await;
    eventually("the old generations are deleted without a grace period", || async {
        let left = store::generations::list(&world.nats, "users").await.unwrap();
        (left == [2].into()).then_some(())
    })
    .await;
    projector.stop().await;
}
