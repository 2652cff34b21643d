//! Operations in the meta bucket.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use domain::operation::{Operation, OperationKind, OperationState};
use domain::timestamp::Timestamp;
use runtime::nats::Nats;
use serde_json::json;
use store::operations::{self, KEPT, Record};
use testkit::{NatsServer, eventually};
use uuid::Uuid;

fn at(second: usize) -> Timestamp {
    format!("2026-11-22T08:{:02}:{:02}Z", second / 60, second % 60).parse().unwrap()
}

async fn begin(nats: &Nats, number: usize) -> Record {
    let id = Uuid::from_u128(number as u128);
    let operation = Operation::begun(id, OperationKind::Rebuild, Some("users".into()), Some(7), at(number));
    Record::begin(nats, operation).await.unwrap()
}

async fn numbers(nats: &Nats) -> Vec<u128> {
    operations::list(nats).await.unwrap().iter().map(|operation| operation.id.as_u128()).collect()
}

#[tokio::test]
async fn an_operation_is_read_as_far_as_it_is() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let id = Uuid::from_u128(1);
    assert_eq!(operations::read(&nats, id).await.unwrap(), None);
    let mut record = begin(&nats, 1).await;
    record.at(5, 10);
    record.note().await.unwrap();
    let running = operations::read(&nats, id).await.unwrap().unwrap();
    assert_eq!((running.state, running.done, running.of), (OperationState::Running, 5, 10));
    record.end(Ok(json!({"generation": 2})), at(60)).await.unwrap();
    let done = operations::read(&nats, id).await.unwrap().unwrap();
    assert_eq!((done.state, done.done, done.ended), (OperationState::Done, 10, Some(at(60))));
    assert_eq!((done.result, done.asked_by), (Some(json!({"generation": 2})), Some(7)));
}

#[tokio::test]
async fn the_newest_ones_are_kept_and_what_is_running() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let _running = begin(&nats, 0).await;
    for number in 1..=KEPT + 3 {
        begin(&nats, number).await.end(Err("in vain".into()), at(number)).await.unwrap();
    }
    operations::prune(&nats).await.unwrap();
    let newest: Vec<u128> = (4..=KEPT as u128 + 3).rev().collect();
    assert_eq!(numbers(&nats).await, newest);
    assert!(operations::read(&nats, Uuid::from_u128(0)).await.unwrap().is_some());
    assert!(operations::read(&nats, Uuid::from_u128(3)).await.unwrap().is_none());
    // Nothing is left of the others, so what is listed does not grow.
    let mut meta = nats.jetstream.get_stream("KV_authentik_meta").await.unwrap();
    assert_eq!(meta.info().await.unwrap().state.messages, KEPT as u64 + 1);
}

#[tokio::test]
async fn an_operation_that_nobody_is_at_any_more_has_failed() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let died = begin(&nats, 1).await;
    drop(died);
    let failed = eventually("nobody is taken to be at it", || async {
        let operation = operations::read(&nats, Uuid::from_u128(1)).await.unwrap().unwrap();
        (operation.state == OperationState::Failed).then_some(operation)
    })
    .await;
    assert!(failed.error.unwrap().contains("died"));
    assert!(failed.ended.is_some());
}
