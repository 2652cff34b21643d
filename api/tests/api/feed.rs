//! The live feed.

use std::time::Instant;

use crate::support::events::{deleted, erased, group_created, logged_in, registered, user};
use crate::support::{World, check_within, problem, record};

#[tokio::test]
async fn an_event_is_sent_as_it_is_stored() {
    let world = World::start().await;
    let mut client = world.stream("", &world.admin(), None).await;
    let sequence = world.record(registered(user(1, "ada"))).await;
    let received = client.next().await.unwrap();
    assert_eq!((received.id, received.event.as_str()), (world.cursor(sequence), "user-registered"));
    let stored = world.log.newest(domain::key::Entity::User(1)).await.unwrap().unwrap();
    assert_eq!(received.data.as_bytes(), stored.payload);
}

#[tokio::test]
async fn a_client_that_reconnects_gets_each_event_once() {
    let world = World::start().await;
    let admin = world.admin();
    world.record(registered(user(1, "ada"))).await;
    let mut client = world.stream("?after=earliest", &admin, None).await;
    let first = client.next().await.unwrap();
    drop(client);
    for _ in 0..3 {
        world.record(logged_in(user(1, "ada"))).await;
    }
    // The header takes precedence over the query.
    let mut client = world.stream("?after=earliest", &admin, Some(&first.id)).await;
    record(&world.log, logged_in(user(1, "ada"))).await;
    assert_eq!(client.sequences(4).await, [2, 3, 4, 5]);
}

#[tokio::test]
async fn a_caller_gets_only_their_own_events_and_progress_moves_their_cursor() {
    let world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    let mut client = world.stream("", &world.token(1, &[]), None).await;
    world.record(registered(user(2, "grace"))).await;
    let filtered = world.record(group_created(1, "navy")).await;
    // It covers one or both of the filtered events, because at most one progress event is sent per second.
    let progress = client.next().await.unwrap();
    assert_eq!((progress.event.as_str(), progress.data.as_str()), ("progress", "{}"));
    let own = world.record(logged_in(user(1, "ada"))).await;
    let mut received = client.next().await.unwrap();
    if received.event == "progress" {
        assert_eq!(received.sequence(), filtered);
        received = client.next().await.unwrap();
    }
    assert_eq!((received.sequence(), received.event.as_str()), (own, "user-logged-in"));
    // The id of a progress event is a valid cursor.
    let mut client = world.stream("", &world.token(1, &[]), Some(&progress.id)).await;
    assert_eq!(client.next().await.unwrap().sequence(), own);
}

#[tokio::test]
async fn a_callers_own_feed_starts_at_their_last_registration() {
    let world = World::start().await;
    let before = world.record(registered(user(1, "before"))).await;
    world.record(deleted(user(1, "before"))).await;
    let again = world.record(registered(user(1, "ada"))).await;
    let then = world.record(logged_in(user(1, "ada"))).await;
    let own = world.token(1, &[]);
    let mut clients = [
        world.stream("?after=earliest", &own, None).await,
        world.stream("?after=2026-01-01T00:00:00Z&user=1", &own, None).await,
        // A cursor at the former user with the same primary key.
        world.stream("", &own, Some(&world.cursor(before))).await,
    ];
    let last = world.record(logged_in(user(1, "ada"))).await;
    let expected = [("user-registered", again), ("user-logged-in", then), ("user-logged-in", last)];
    for client in &mut clients {
        let received = client.take(3).await;
        let received: Vec<_> =
            received.iter().map(|event| (event.event.as_str(), event.sequence())).collect();
        assert_eq!(received, expected);
        assert!(!client.raw.contains("before"), "{}", client.raw);
    }
}

#[tokio::test]
async fn an_admin_filters_by_type_and_user() {
    let world = World::start().await;
    let query = "?type=user-logged-in,user-deleted&user=2&after=earliest";
    let mut client = world.stream(query, &world.admin(), None).await;
    world.record(registered(user(2, "grace"))).await;
    world.record(logged_in(user(1, "ada"))).await;
    let expected = world.record(logged_in(user(2, "grace"))).await;
    loop {
        let received = client.next().await.unwrap();
        if received.event != "progress" {
            assert_eq!((received.sequence(), received.event.as_str()), (expected, "user-logged-in"));
            break;
        }
    }
}

#[tokio::test]
async fn a_caller_who_is_recorded_during_their_stream_gets_their_events() {
    let world = World::start().await;
    let mut client = world.stream("", &world.token(1, &[]), None).await;
    world.record(registered(user(2, "grace"))).await;
    let own = world.record(registered(user(1, "ada"))).await;
    let received = client.next().await.unwrap();
    assert_eq!((received.sequence(), received.event.as_str()), (own, "user-registered"));
}

#[tokio::test]
async fn a_shutdown_ends_streams_with_a_random_reconnection_delay() {
    let mut world = World::start().await;
    let mut client = world.stream("", &world.admin(), None).await;
    let begin = Instant::now();
    world.api.stop().await;
    assert_eq!(client.next().await, None);
    check_within(5, begin);
    let retry: u64 = client.raw.rsplit("retry: ").next().unwrap().trim().parse().unwrap();
    assert!((1_000..5_000).contains(&retry), "{retry}");
}

#[tokio::test]
async fn the_feed_continues_after_a_restart_of_nats() {
    let mut world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    let mut client = world.stream("", &world.admin(), None).await;
    world.server.restart().await;
    testkit::eventually("connected again", || async { world.nats.is_connected().then_some(()) }).await;
    let sequence = record(&world.log, logged_in(user(1, "ada"))).await;
    assert_eq!(client.next().await.unwrap().sequence(), sequence);
}

#[tokio::test]
async fn undecodable_messages_do_not_stop_the_feed() {
    let world = World::start().await;
    let admin = world.admin();
    let mut client = world.stream("", &admin, None).await;
    let publish = async |event_type: &str, payload: &'static str| {
        let subject = format!("{}.events.user.1.{event_type}", world.nats.namespace);
        world.nats.jetstream.publish(subject, payload.into()).await.unwrap().await.unwrap();
    };
    publish("user-registered", "rubbish").await;
    publish("user-moved", r#"{"type":"user-moved","of":"a newer version"}"#).await;
    let last = world.record(registered(user(2, "grace"))).await;
    // An event of an unknown type is sent unchanged. A message that is not JSON is skipped.
    let received = client.take(2).await;
    assert_eq!((received[0].event.as_str(), received[1].event.as_str()), ("user-moved", "user-registered"));
    let users = world.json("/api/users", Some(&admin)).await;
    assert_eq!((users["users"].as_array().unwrap().len(), &users["as_of"]), (1, &world.cursor(last).into()));
}

#[tokio::test]
async fn events_before_an_erasure_are_not_answered_even_while_the_log_still_has_them() {
    let world = World::start().await;
    let admin = world.admin();
    world.record(registered(user(1, "ada"))).await;
    let other = world.record(registered(user(2, "grace"))).await;
    world.record(logged_in(user(1, "ada"))).await;
    let receipt = world.record(erased(1)).await;
    let page = world.json("/api/events?after=earliest", Some(&admin)).await;
    let subjects: Vec<_> = page["events"].as_array().unwrap().iter().map(|event| &event["subject"]).collect();
    assert_eq!(subjects, ["user/2", "user/1"]);
    assert!(!page.to_string().contains("ada"), "{page}");
    let mut client = world.stream("?after=earliest", &admin, None).await;
    assert_eq!(client.sequences(2).await, [other, receipt]);
    for path in ["/api/users/1", "/api/users/1/events"] {
        problem(world.get(path, Some(&admin)).await, 404).await;
    }
}
