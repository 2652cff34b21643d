//! Who may be erased, and what is erased where it is not certain whom something is about.

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
    /// Records that a user of that name was registered.
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

    /// Runs `forget`, which must fail, and record nothing. Returns what it said.
    async fn refused(&self, arguments: &[&str]) -> String {
        let before = self.projections.log.bounds().await.unwrap();
        let (status, printed, said) = self.command(arguments).await;
        assert_eq!((status, printed.as_str(), said.lines().count()), (1, "", 1), "{arguments:?}: {said}");
        assert_eq!(self.projections.log.bounds().await.unwrap(), before, "{arguments:?}");
        said
    }

    async fn n_dead_letters(&self) -> usize {
        projector::dead_letters::list(&self.nats).await.unwrap().len()
    }
}

/// An authentik that has user 8 and nobody else, or nobody at all.
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
async fn nobody_is_erased_where_it_is_not_certain_who_is_meant() {
    let world = World::new().await;
    world.register_as(51, "mary", Uuid::from_u128(51)).await;
    world.register_as(52, "mary", Uuid::from_u128(52)).await;
    for (user, expected) in [
        ("mary", "users 51, 52 are all recorded under the username \"mary\": give the primary key"),
        ("Mary", "nobody is recorded under the username \"Mary\": give the primary key"),
        ("99", "nothing is recorded of user 99"),
        ("00000000-0000-0000-0000-000000000099", "nobody is recorded under the uuid"),
    ] {
        let said = world.refused(&["forget", "--force", "51", user]).await;
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_erased_where_authentik_does_not_say_that_they_are_gone() {
    let world = World::new().await;
    world.register_as(8, "grace", grace()).await;
    world.register_as(51, "mary", Uuid::from_u128(51)).await;
    let (url, empty) = (authentik(false).await, authentik(true).await);
    let away = "--authentik-url=http://127.0.0.1:1".to_owned();
    let token = "--authentik-token=token";
    let said = world.refused(&["forget", "51"]).await;
    assert!(said.starts_with("error: AUTHENTIK_URL "), "{said}");
    for (authentik, user, expected) in [
        (&away, "51", "authentik is away: cannot connect"),
        (&empty, "51", "this is another authentik than before, or an empty one"),
        (&url, "8", "user 8 still exists in authentik: delete them there first"),
        (&url, &grace().to_string(), "user 8 still exists in authentik"),
    ] {
        let said = world.refused(&[authentik, token, "forget", "51", user]).await;
        assert!(said.contains(expected) && said.contains("nothing was erased"), "{said}");
    }
    let (status, _, said) = world.command(&[&url, token, "forget", "mary"]).await;
    assert_eq!(status, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_that_was_cut_off_replaced_is_deleted_by_the_next_one() {
    let world = World::new().await;
    let projector = world.projector(60).await;
    world.register_as(51, "mary", Uuid::from_u128(51)).await;
    let subject = world.nats.namespace.inbox_subject(&"cut-off".parse().unwrap());
    // What it mentions may not be known any more.
    let original = world.publish(subject.clone(), r#"{"username": "a name of long ago"}"#).await;
    let replacement = store::inbox::replace(&world.nats, subject.clone(), original).await.unwrap();
    let erased = world.json(&["forget", "--force", "mary"]).await;
    assert_eq!(erased["n_deliveries"], 1);
    let inbox = world.nats.jetstream.get_stream(world.nats.namespace.inbox_stream()).await.unwrap();
    let left = inbox.get_first_raw_message_by_subject(&subject, 1).await.unwrap();
    assert_eq!((left.sequence, &left.payload[..]), (replacement.sequence, ERASED_BODY.as_bytes()));
    // The delivery cannot come in once more.
    let id = "cut-off".parse().unwrap();
    let again =
        store::inbox::put_delivery(&world.nats, &id, domain::event::Channel::EventLog, "{}".into()).await;
    assert_eq!(again, Err(PublishError::Conflict));
    // Nothing is left to do.
    let (status, _, said) = world.command(&["forget", "--force", "mary"]).await;
    assert!(status == 1 && said.contains("nobody is recorded under the username"), "{said}");
    let repeated = world.json(&["forget", "--force", "51"]).await;
    assert_eq!(
        repeated["users"],
        json!([{"pk": 51, "receipt": erased["users"][0]["receipt"], "n_events": 0}])
    );
    assert_eq!(repeated["n_deliveries"], 0);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_may_be_about_a_namesake_stays_as_long_as_there_is_one() {
    let world = World::new().await;
    let projector = world.projector(60).await;
    world.register_as(51, "mary", Uuid::from_u128(51)).await;
    world.register_as(52, "mary", Uuid::from_u128(52)).await;
    world.publish(world.nats.namespace.dead_letter_subject(&"a".parse().unwrap()), NOT_JSON).await;
    assert_eq!(world.json(&["forget", "--force", "51"]).await["n_dead_letters"], 0);
    assert_eq!(world.n_dead_letters().await, 1);
    assert_eq!(world.json(&["forget", "--force", "52"]).await["n_dead_letters"], 1);
    assert_eq!(world.n_dead_letters().await, 0);
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_of_several_folds_each_projection_once() {
    let world = World::new().await;
    let projector = world.projector(60).await;
    world.register(1..=3).await;
    world.served(1).await;
    let erased = world.json(&["forget", "--force", "1", "3"]).await;
    let generations: Vec<_> =
        erased["projections"].as_array().unwrap().iter().map(|one| &one["generation"]).collect();
    assert_eq!(generations, [2, 2, 2]);
    world.served(2).await;
    eventually("the old generations are gone at once", || async {
        let left = store::generations::list(&world.nats, "users").await.unwrap();
        (left == [2].into()).then_some(())
    })
    .await;
    projector.stop().await;
}
