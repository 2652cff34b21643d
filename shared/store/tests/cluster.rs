//! The store on a cluster of three nodes.
#![expect(clippy::unwrap_used, reason = "a failed step must fail the test")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use domain::event::EventType;
use domain::key::Entity;
use domain::view::Checkpoint;
use runtime::nats::Nats;
use runtime::{CancellationToken, provision};
use store::follow::Follow;
use store::log::{EventLog, ReadFrom};
use store::publish::{Expected, NewMessage, PublishError, Stored, publish};
use store::{generations, views};
use testkit::cluster::N_NODES;
use testkit::{NatsCluster, eventually};

/// Less than the 30 s after which missing heartbeats alone tell a consumer that its node is dead.
const SOON: Duration = Duration::from_secs(20);

/// How many times to read while another task writes.
const N_READS: u32 = 200;

/// How many buckets to create and immediately write.
const N_BUCKETS: u64 = 50;

/// Appends the first message about a user. Returns its sequence.
async fn append(nats: &Nats, log: &EventLog, pk: i64) -> u64 {
    let subject = nats.namespace.event_subject(Entity::User(pk), EventType::UserRegistered);
    let expected = Some(Expected { last_sequence: 0, filter: None });
    let message = NewMessage { subject, headers: HeaderMap::new(), payload: "{}".into(), expected };
    eventually("the log can be appended to", || async {
        match publish(nats, message.clone()).await {
            Ok(_) | Err(PublishError::Conflict) => log.head().await.ok(),
            Err(_) => None,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_contains_every_acknowledged_event_whichever_replica_answers() {
    let cluster = NatsCluster::start().await;
    let nats = cluster.provisioned().await;
    let log = EventLog::open(&nats).await.unwrap();
    let everything = nats.namespace.events_filter(None, None);
    for pk in 1..=N_READS {
        let appended = append(&nats, &log, pk.into()).await;
        let page = log.page(&everything, ReadFrom::Sequence(appended), 10).await.unwrap();
        assert_eq!(page.first().map(|message| message.sequence), Some(appended));
        let stored = page[0].stored;
        let page = log.page(&everything, ReadFrom::Time(stored), 10).await.unwrap();
        assert_eq!(page.last().map(|message| message.sequence), Some(appended));
    }
    let next = ReadFrom::Sequence(log.head().await.unwrap() + 1);
    assert_eq!(log.page(&everything, next, 10).await.unwrap(), []);
}

async fn next(events: &mut Follow) -> u64 {
    let next = async {
        loop {
            if let Ok(message) = events.next().await {
                return message.sequence;
            }
        }
    };
    tokio::time::timeout(testkit::wait::DEADLINE, next).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_death_of_any_node_the_next_event_arrives_soon_and_once() {
    let mut cluster = NatsCluster::start().await;
    let nats = cluster.provisioned().await;
    let log = EventLog::open(&nats).await.unwrap();
    let mut events = log.follow(1);
    let mut users = 1..;
    for node in 0..N_NODES {
        let before = append(&nats, &log, users.next().unwrap()).await;
        assert_eq!(next(&mut events).await, before);
        cluster.kill(node).await;
        let after = append(&nats, &log, users.next().unwrap()).await;
        let begin = Instant::now();
        assert_eq!(next(&mut events).await, after);
        assert!(begin.elapsed() < SOON, "{:?} after node {node} died", begin.elapsed());
        cluster.restart(node).await;
        cluster.current(node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_can_be_written_immediately_after_its_creation() {
    let cluster = NatsCluster::start().await;
    let nats = cluster.provisioned().await;
    for generation in 1..=N_BUCKETS {
        let bucket = nats.namespace.projection_bucket("activity", generation);
        provision::ensure_projection_bucket(&nats, &bucket, 3).await.unwrap();
        let written = views::write(&nats, &bucket, "a", &generation, 0).await;
        assert_eq!(written, Ok(Stored { sequence: 1 }), "in bucket {generation}");
        generations::delete(&nats, "activity", generation).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_view_is_older_than_its_checkpoint_whichever_replica_is_read() {
    let cluster = NatsCluster::start().await;
    let nats = cluster.provisioned().await;
    let bucket = nats.namespace.projection_bucket("activity", 1);
    provision::ensure_projection_bucket(&nats, &bucket, 3).await.unwrap();
    let written = AtomicU64::new(0);
    let write = async |revision: u64, sequence: u64| {
        let checkpoint = Checkpoint { epoch: "e".into(), version: 1, sequence };
        let entries = [("a".to_owned(), Some(&sequence)), ("b".to_owned(), Some(&sequence))];
        let stored = views::write_views(&nats, &bucket, &entries, &checkpoint, revision).await;
        written.store(sequence, Ordering::Relaxed);
        stored.unwrap().sequence
    };
    let mut revision = write(0, 1).await;
    let ended = CancellationToken::new();
    let writing = async {
        while !ended.is_cancelled() {
            revision = write(revision, written.load(Ordering::Relaxed) + 1).await;
        }
    };
    let reading = async {
        for _ in 0..N_READS {
            let contents = views::load_bytes(&nats, &bucket).await.unwrap();
            let checkpoint = contents.checkpoint.unwrap().value.sequence;
            let views = contents.values.values().map(|view| serde_json::from_slice::<u64>(view).unwrap());
            let oldest = views.min().unwrap();
            assert!(contents.values.len() == 2 && oldest >= checkpoint, "{oldest} at {checkpoint}");
        }
        ended.cancel();
    };
    tokio::join!(writing, reading);
}
