//! The caller's own user, and resyncs.

use domain::key::UserPk;
use domain::snapshot::User;
use futures_util::StreamExt;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::support::events::{registered, user, uuid};
use crate::support::{KEY, World, keys, now, problem};

/// Bodies and `Channel` headers of all messages in the inbox.
async fn inbox(world: &World) -> Vec<(Value, String)> {
    let stream = world.nats.jetstream.get_stream(world.nats.namespace.inbox_stream()).await.unwrap();
    let n_messages = stream.cached_info().state.messages;
    let consumer = stream
        .create_consumer(async_nats::jetstream::consumer::pull::OrderedConfig::default())
        .await
        .unwrap();
    let messages = consumer.messages().await.unwrap().take(usize::try_from(n_messages).unwrap());
    let messages = messages.map(|message| {
        let message = message.unwrap();
        let channel = message.headers.as_ref().unwrap().get("Channel").unwrap().to_string();
        (serde_json::from_slice(&message.payload).unwrap(), channel)
    });
    messages.collect().await
}

async fn record_after_hint(world: &World, pk: UserPk) {
    eventually("the hint is in the inbox", || async { (!inbox(world).await.is_empty()).then_some(()) }).await;
    world.record(registered(user(pk, "ada"))).await;
}

#[tokio::test]
async fn concurrent_requests_of_an_unrecorded_caller_store_one_hint() {
    let world = World::start().await;
    let token = world.token(1, &[]);
    // All requests wait until the caller is recorded.
    let requests = join_all((0..5).map(|_| world.get("/api/me", Some(&token))));
    let (answers, ()) = tokio::join!(requests, record_after_hint(&world, 1));
    for answer in answers {
        assert_eq!(answer.status().as_u16(), 200);
        let me: Value = answer.json().await.unwrap();
        assert_eq!((&me["user"]["username"], &me["is_admin"]), (&"ada".into(), &false.into()));
    }
    let hint = json!({"schema": "hint.v1", "user_uuid": uuid(1), "reason": "first-request"});
    assert_eq!(inbox(&world).await, [(hint, "api".to_owned())]);
}

#[tokio::test]
async fn a_caller_who_is_not_recorded_in_time_gets_202_with_retry_after() {
    let world = World::start().await;
    let answer = world.get("/api/me", Some(&world.token(1, &[]))).await;
    assert_eq!(answer.status().as_u16(), 202);
    assert_eq!(answer.headers()["retry-after"], "2");
    assert_eq!(answer.json::<Value>().await.unwrap()["status"], "pending");
}

#[tokio::test]
async fn a_resync_is_stored_in_the_inbox() {
    let world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    let answer = world.call(Method::POST, "/api/me/resync", Some(&world.token(1, &[]))).await;
    assert_eq!(answer.status().as_u16(), 202);
    let accepted: Value = answer.json().await.unwrap();
    let delivery = accepted["delivery"].as_str().unwrap().parse().unwrap();
    let admin = world.token(1, &[crate::support::ADMINS]);
    let answer = world.call(Method::POST, "/api/users/42/resync", Some(&admin)).await;
    assert_eq!(answer.status().as_u16(), 202);
    let hint = |user: UserPk| json!({"schema": "hint.v1", "user": user, "reason": "resync", "asked_by": 1});
    assert_eq!(inbox(&world).await, [(hint(1), "api".to_owned()), (hint(42), "api".to_owned())]);
    let stream = world.nats.jetstream.get_stream(world.nats.namespace.inbox_stream()).await.unwrap();
    let subject = world.nats.namespace.inbox_subject(&delivery);
    stream.get_last_raw_message_by_subject(&subject).await.unwrap();
}

#[tokio::test]
async fn without_nats_a_resync_is_refused_and_reads_continue_until_the_stale_limit() {
    let mut world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    let token = world.token(1, &[]);
    world.server.kill().await;
    let answer = world.call(Method::POST, "/api/me/resync", Some(&token)).await;
    assert!(answer.headers().contains_key("retry-after"));
    problem(answer, 503).await;
    world.json("/api/me", Some(&token)).await;
}

#[tokio::test]
async fn a_token_with_a_hashed_id_identifies_its_user() {
    let world = World::start().await;
    let ada = user(1, "ada");
    world.record(registered(ada.clone())).await;
    let token = keys::claims(&world.issuer, &ada.uid, now(), &[]);
    let me = world.json("/api/me", Some(&KEY.sign(&token))).await;
    assert_eq!(me["pk"], 1);
}

#[tokio::test]
async fn an_unrecorded_caller_with_a_hashed_id_is_looked_up_by_name_and_identified_by_id() {
    let world = World::start().await;
    let grace = user(2, "grace");
    let mut claims = keys::claims(&world.issuer, &grace.uid, now(), &[]);
    claims["preferred_username"] = "grace".into();
    let token = KEY.sign(&claims);
    // Another user has this username now.
    world.record(registered(User { uid: "another".to_owned(), ..user(1, "grace") })).await;
    assert_eq!(world.get("/api/me", Some(&token)).await.status().as_u16(), 202);
    let hint = json!({"schema": "hint.v1", "username": "grace", "reason": "first-request"});
    assert_eq!(inbox(&world).await, [(hint, "api".to_owned())]);
    world.record(registered(User { username: "grace-2".to_owned(), ..grace })).await;
    assert_eq!(world.json("/api/me", Some(&token)).await["pk"], 2);
    // Without a username, authentik cannot be asked.
    let mut nameless = keys::claims(&world.issuer, &user(3, "x").uid, now(), &[]);
    nameless.as_object_mut().unwrap().remove("preferred_username");
    problem(world.get("/api/me", Some(&KEY.sign(&nameless))).await, 404).await;
}
