//! Reads that start before the ring of the feed, and projections that are rebuilt.

use domain::event::EventBody;
use domain::key::Entity;
use domain::view::Views;
use domain::view::users::Users;
use store::log::ReadFrom;
use testkit::eventually;

use crate::support::events::{event, group_created, in_group, left, logged_in, registered, user};
use crate::support::{ADMINS, World, problem, project};

/// An environment with this many events. From about 2,100 on, the ring does not hold them all.
pub async fn world_with_history(n_events: u64) -> World {
    let mut world = World::start().await;
    grow(&mut world, n_events).await;
    world
}

/// Records and projects events while no API runs, and then starts one.
async fn grow(world: &mut World, n_events: u64) {
    world.api.stop().await;
    let mut last =
        world.log.append(Entity::User(1), 0, &[named(0, registered(user(1, "ada")))]).await.unwrap();
    while last.sequence < n_events {
        let n_batch = usize::try_from((n_events - last.sequence).min(500)).unwrap();
        let batch: Vec<_> = (0..n_batch).map(|index| named(index, logged_in(user(1, "ada")))).collect();
        last = world.log.append(Entity::User(1), last.sequence, &batch).await.unwrap();
    }
    project::all(&world.nats, &world.log).await;
    world.restart_api().await;
}

fn named(index: usize, body: EventBody) -> domain::event::Event {
    event(Entity::User(1), 0, index, body)
}

#[tokio::test]
async fn matching_events_that_are_far_apart_are_found_over_several_pages() {
    let world = world_with_history(10_000).await;
    world.record(group_created(1, "navy")).await;
    let admin = world.admin();
    let (mut after, mut n_answers) = ("earliest".to_owned(), 0);
    let last = loop {
        n_answers += 1;
        let path = format!("/api/events?type=group-created,group-deleted&after={after}");
        let answer = world.json(&path, Some(&admin)).await;
        if answer["next"] == answer["as_of"] {
            break answer;
        }
        assert_eq!(answer["events"], serde_json::json!([]));
        assert_ne!(answer["next"], after, "each page moves forward");
        answer["next"].as_str().unwrap().clone_into(&mut after);
    };
    assert_eq!(last["events"][0]["type"], "group-created", "{last}");
    assert!(n_answers > 1, "one page does not scan all events");
}

#[tokio::test]
async fn a_client_reads_from_the_stream_into_the_ring_without_gaps_or_duplicates() {
    let world = world_with_history(3_000).await;
    let admin = world.admin();
    let mut client = world.stream("?after=earliest", &admin, None).await;
    assert_eq!(client.sequences(3_000).await, (1..=3_000).collect::<Vec<_>>());
    let next = world.record(logged_in(user(1, "ada"))).await;
    assert_eq!(client.next().await.unwrap().sequence(), next);

    let mut client = world.stream("", &world.token(1, &[]), Some(&world.cursor(700))).await;
    assert_eq!(client.sequences(2_301).await, (701..=3_001).collect::<Vec<_>>());

    // Filtered events are skipped in the stream, and a progress event moves the cursor past them.
    let mut client = world.stream("?type=user-registered&after=earliest", &admin, None).await;
    assert_eq!(client.next().await.unwrap().sequence(), 1);
    assert_eq!(client.next().await.unwrap().event, "progress");

    let mut after = world.cursor(0);
    let mut n_read = 0;
    loop {
        let page = world.json(&format!("/api/events?limit=500&after={after}"), Some(&admin)).await;
        n_read += page["events"].as_array().unwrap().len();
        page["next"].as_str().unwrap().clone_into(&mut after);
        if page["next"] == page["as_of"] {
            break;
        }
    }
    assert_eq!(n_read, 3_001);
}

#[tokio::test]
async fn erased_events_are_skipped_and_an_expired_cursor_is_refused() {
    let world = world_with_history(2_500).await;
    let admin = world.admin();
    let stream = world.nats.jetstream.get_stream(world.log.namespace().events_stream()).await.unwrap();
    for sequence in [1, 2, 3, 100, 2_000] {
        stream.delete_message(sequence).await.unwrap();
    }
    let mut client = world.stream("", &admin, Some(&world.cursor(98))).await;
    assert_eq!(client.sequences(2).await, [99, 101]);
    let answer = world.get(&format!("/api/events/stream?after={}", world.cursor(1)), Some(&admin)).await;
    let detail = problem(answer, 410).await;
    assert!(detail.contains("no longer kept"), "{detail}");
    let mut client = world.stream("?after=earliest", &admin, None).await;
    assert_eq!(client.next().await.unwrap().sequence(), 4);
}

#[tokio::test]
async fn a_rebuilt_projection_is_used_without_a_restart() {
    let world = World::with(&[], &[registered(user(1, "ada")), registered(user(2, "grace"))]).await;
    let admin = world.admin();
    let page =
        world.log.page(&world.log.namespace().events_filter(None, None), ReadFrom::Sequence(1), 10).await;
    let mut views = Views::<Users>::default();
    for message in page.unwrap() {
        let mut recorded = message.decode().unwrap();
        if let EventBody::UserRegistered(data) = &mut recorded.event.body {
            data.user.name = "Rebuilt".to_owned();
        }
        views.apply(&recorded);
    }
    // The new generation is behind the log, so the API must apply the newer event to it.
    world.record(logged_in(user(2, "grace"))).await;
    project::write::<Users>(&world.nats, &world.log, &views, 2).await;
    eventually("the new generation is used", || async {
        let ada = world.json("/api/users/1", Some(&admin)).await;
        (ada["user"]["name"] == "Rebuilt").then_some(())
    })
    .await;
    assert_eq!(world.json("/api/users/2", Some(&admin)).await["sequence"], 3);
    let status = world.json("/api/status", Some(&admin)).await;
    assert_eq!(status["users"]["sequence"], 3);
}

#[tokio::test]
async fn a_departure_from_an_admin_group_is_known_even_if_it_is_older_than_the_ring() {
    let mut world = World::start().await;
    world.record(registered(in_group(user(2, "grace"), 1, ADMINS))).await;
    let token = world.token(2, &[ADMINS]);
    world.record(left(user(2, "grace"), 1, ADMINS)).await;
    grow(&mut world, 2_300).await;
    problem(world.get("/api/users", Some(&token)).await, 403).await;
    world.json("/api/users/2", Some(&token)).await;
}
