//! The store on a single real nats-server.
#![expect(clippy::unwrap_used, reason = "a failed step must fail the test")]

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use domain::key::Entity;
use domain::view::users::Users;
use domain::view::{Checkpoint, Projection};
use futures_util::TryStreamExt;
use runtime::nats::Nats;
use store::history::History;
use store::log::{EventLog, ReadFrom};
use store::messages;
use store::publish::{Expected, NewMessage, PublishError, publish, publish_batch};
use store::replica::Replica;
use store::views::{self, Pointer, pointer_key};
use testkit::events::registered;
use testkit::{NatsServer, eventually};

fn delivery(nats: &Nats, id: &str) -> NewMessage {
    NewMessage {
        subject: nats.namespace.inbox_subject(&id.parse().unwrap()),
        headers: HeaderMap::new(),
        payload: "{}".into(),
        expected: Some(Expected { last_sequence: 0, filter: None }),
    }
}

#[tokio::test]
async fn a_second_delivery_on_a_subject_is_a_conflict() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    assert_eq!(publish(&nats, delivery(&nats, "a")).await.unwrap().sequence, 1);
    assert_eq!(publish(&nats, delivery(&nats, "a")).await, Err(PublishError::Conflict));
}

#[tokio::test]
async fn a_batch_is_stored_completely_or_not_at_all() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let messages = ["a", "b", "c"].map(|id| delivery(&nats, id)).to_vec();
    assert_eq!(publish_batch(&nats, "one", messages).await.unwrap().sequence, 3);
    let messages = ["d", "b", "e"].map(|id| delivery(&nats, id)).to_vec();
    publish_batch(&nats, "two", messages).await.unwrap_err();
    assert_eq!(publish(&nats, delivery(&nats, "d")).await.unwrap().sequence, 4);
}

#[tokio::test]
async fn without_a_server_a_publish_is_unacknowledged() {
    let mut server = NatsServer::start().await;
    let nats = server.provisioned().await;
    server.kill().await;
    let error = publish(&nats, delivery(&nats, "a")).await.unwrap_err();
    assert!(matches!(error, PublishError::Unacknowledged(_)), "{error}");
}

#[tokio::test]
async fn an_append_at_an_old_position_is_refused() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let log = EventLog::open(&nats).await.unwrap();
    let user = Entity::User(42);
    let first = log.append(user, 0, &[registered(42, 0)]).await.unwrap();
    assert_eq!(log.append(user, 0, &[registered(42, 0)]).await, Err(PublishError::Conflict));
    // Events of another user do not change the position.
    log.append(Entity::User(7), 0, &[registered(7, 0)]).await.unwrap();
    let batch = [registered(42, 1), registered(42, 1)];
    log.append(user, first.sequence, &batch).await.unwrap();
    let newest = log.newest(user).await.unwrap().unwrap();
    assert_eq!(newest.sequence, 4);
    assert_eq!(newest.decode().unwrap().event, registered(42, 1));
    assert_eq!(log.newest(Entity::User(8)).await.unwrap(), None);
    // A deleted event is not the head, although the stream still counts it as its last message.
    assert_eq!(log.head().await.unwrap(), 4);
    let stream = nats.jetstream.get_stream(nats.namespace.events_stream()).await.unwrap();
    assert!(stream.delete_message(4).await.unwrap());
    assert_eq!((log.head().await.unwrap(), log.bounds().await.unwrap().last), (3, 4));
}

#[tokio::test]
async fn a_page_respects_filter_start_and_limit() {
    let server = NatsServer::start().await;
    let log = EventLog::open(&server.provisioned().await).await.unwrap();
    for pk in 1..=6 {
        log.append(Entity::User(pk), 0, &[registered(pk, 0)]).await.unwrap();
    }
    let sequences =
        |messages: Vec<store::log::StoredMessage>| messages.iter().map(|m| m.sequence).collect::<Vec<_>>();
    let all = log.namespace().events_filter(None, None);
    assert_eq!(sequences(log.page(&all, ReadFrom::Sequence(3), 2).await.unwrap()), [3, 4]);
    assert_eq!(sequences(log.page(&all, ReadFrom::Sequence(7), 2).await.unwrap()), [0_u64; 0]);
    let fifth = log.namespace().entity_filter(Entity::User(5));
    assert_eq!(sequences(log.page(&fifth, ReadFrom::Sequence(1), 10).await.unwrap()), [5]);
    let stored = log.newest(Entity::User(5)).await.unwrap().unwrap().stored;
    assert_eq!(sequences(log.page(&all, ReadFrom::Time(stored), 10).await.unwrap()).last(), Some(&6));
}

#[tokio::test]
async fn after_a_restart_of_the_server_following_continues_without_gap_or_duplicate() {
    let mut server = NatsServer::start().await;
    let log = EventLog::open(&server.provisioned().await).await.unwrap();
    for pk in 1..=3 {
        log.append(Entity::User(pk), 0, &[registered(pk, 0)]).await.unwrap();
    }
    let mut follow = log.follow(2);
    assert_eq!(follow.next().await.unwrap().sequence, 2);
    assert_eq!(follow.next().await.unwrap().sequence, 3);
    server.restart().await;
    eventually("the log can be appended to again", || async {
        log.append(Entity::User(4), 0, &[registered(4, 0)]).await.ok()
    })
    .await;
    let next = async {
        loop {
            if let Ok(message) = follow.next().await {
                return message.sequence;
            }
        }
    };
    assert_eq!(tokio::time::timeout(testkit::wait::DEADLINE, next).await.unwrap(), 4);
}

#[tokio::test]
async fn views_and_checkpoint_are_one_commit_and_a_second_writer_is_refused() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let bucket = nats.namespace.projection_bucket(Users::NAME, 1);
    runtime::provision::ensure_projection_bucket(&nats, &bucket, 1).await.unwrap();
    let recorded = domain::event::Recorded {
        sequence: 9,
        stored: "2026-11-22T08:00:00Z".parse().unwrap(),
        event: registered(42, 0),
    };
    let view = Users::fold("42", None, &recorded).unwrap();
    let checkpoint = Checkpoint { epoch: "e".into(), version: 1, sequence: 9 };
    let entries = [("42".to_owned(), Some(&view))];
    let stored = views::write_views(&nats, &bucket, &entries, &checkpoint, 0).await.unwrap();
    let second = views::write_views(&nats, &bucket, &entries, &checkpoint, 0).await;
    assert_eq!(second, Err(PublishError::Conflict));
    let loaded = views::load::<Users>(&nats, &bucket).await.unwrap();
    assert_eq!(loaded.views, BTreeMap::from([("42".to_owned(), view.clone())]));
    assert_eq!(
        loaded.checkpoint.map(|entry| (entry.value, entry.revision)),
        Some((checkpoint, stored.sequence))
    );
    let pointer = Pointer { generation: 1, version: Users::VERSION };
    views::write(&nats, &nats.namespace.meta_bucket(), &pointer_key(Users::NAME), &pointer, 0).await.unwrap();
    let replica = Replica::<Users>::default();
    assert_eq!(replica.load(&nats).await.unwrap(), 9);
    assert_eq!(replica.read(|views| views.get("42").cloned()), Some(view));
}

#[tokio::test]
async fn provisioning_twice_changes_nothing_and_drift_is_reported() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let epoch = EventLog::open(&nats).await.unwrap().epoch().to_owned();
    assert_eq!(runtime::provision::provision(&nats, 1).await.unwrap(), Vec::<String>::new());
    assert_eq!(EventLog::open(&nats).await.unwrap().epoch(), epoch);
    let bucket = nats.namespace.projection_bucket("users", 1);
    runtime::provision::ensure_projection_bucket(&nats, &bucket, 1).await.unwrap();
    let mut drift = runtime::provision::provision(&nats, 3).await.unwrap();
    drift.extend(runtime::provision::ensure_projection_bucket(&nats, &bucket, 3).await.unwrap());
    assert_eq!(drift.len(), 5, "one difference of each stream and bucket: {drift:?}");
    for difference in drift {
        assert!(difference.ends_with("num_replicas is 1, expected 3"), "{difference}");
    }
}

#[tokio::test]
async fn erasing_a_message_that_does_not_exist_succeeds() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let inbox = nats.namespace.inbox_stream();
    for id in ["a", "b", "c"] {
        publish(&nats, delivery(&nats, id)).await.unwrap();
    }
    for sequence in [2, 2, 3, 99] {
        messages::erase(&nats, &inbox, sequence).await.unwrap();
    }
    let left = async || {
        let all = messages::all(&nats, &inbox, OrderedConfig::default()).await.unwrap();
        all.map_ok(|message| message.sequence).try_collect::<Vec<_>>().await.unwrap()
    };
    assert_eq!(left().await, [1]);
    messages::erase(&nats, &inbox, 1).await.unwrap();
    assert_eq!(left().await, Vec::<u64>::new());
    messages::erase(&nats, "NO_STREAM", 1).await.unwrap_err();
}

#[tokio::test]
async fn a_history_returns_every_existing_event_up_to_the_given_one() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let log = EventLog::open(&nats).await.unwrap();
    let batch: Vec<_> = (0..300).map(|_| registered(42, 0)).collect();
    log.append(Entity::User(42), 0, &batch).await.unwrap();
    log.append(Entity::User(7), 0, &[registered(7, 0)]).await.unwrap();
    let last = log.append(Entity::User(42), 300, &batch).await.unwrap().sequence;
    messages::erase(&nats, &nats.namespace.events_stream(), 5).await.unwrap();
    let mut history = History::new(&log, Entity::User(42), last - 1);
    let mut sequences = vec![];
    loop {
        let page = history.page().await.unwrap();
        if page.is_empty() {
            break;
        }
        sequences.extend(page.iter().map(|message| message.sequence));
    }
    let expected: Vec<u64> = (1..last).filter(|sequence| ![5, 301].contains(sequence)).collect();
    assert_eq!(sequences, expected);
}
