//! Operations in the meta bucket.
#![expect(clippy::unwrap_used, reason = "a failed step must fail the test")]

use domain::operation::{Operation, OperationKind, OperationState};
use domain::timestamp::Timestamp;
use runtime::nats::Nats;
use serde_json::json;
use store::operations::{self, MAX_KEPT, RunningOperation};
use testkit::{NatsServer, eventually};
use uuid::Uuid;

fn at(second: usize) -> Timestamp {
    format!("2026-11-22T08:{:02}:{:02}Z", second / 60, second % 60).parse().unwrap()
}

async fn begin(nats: &Nats, number: usize) -> RunningOperation {
    let id = Uuid::from_u128(number as u128);
    let operation = Operation::begun(id, OperationKind::Rebuild, Some("users".into()), Some(7), at(number));
    RunningOperation::begin(nats, operation).await.unwrap()
}

async fn numbers(nats: &Nats) -> Vec<u128> {
    operations::list(nats).await.unwrap().iter().map(|operation| operation.id.as_u128()).collect()
}

#[tokio::test]
async fn a_reader_sees_progress_and_result_of_an_operation() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let id = Uuid::from_u128(1);
    assert_eq!(operations::read(&nats, id).await.unwrap(), None);
    let mut running = begin(&nats, 1).await;
    running.set_progress(5, 10);
    running.save().await.unwrap();
    let read = operations::read(&nats, id).await.unwrap().unwrap();
    assert_eq!((read.state, read.done, read.of), (OperationState::Running, 5, 10));
    running.end(Ok(json!({"generation": 2})), at(60)).await.unwrap();
    let done = operations::read(&nats, id).await.unwrap().unwrap();
    assert_eq!((done.state, done.done, done.ended), (OperationState::Done, 10, Some(at(60))));
    assert_eq!((done.result, done.asked_by), (Some(json!({"generation": 2})), Some(7)));
}

#[tokio::test]
async fn pruning_keeps_the_newest_operations_and_running_ones() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let _running = begin(&nats, 0).await;
    for number in 1..=MAX_KEPT + 3 {
        begin(&nats, number).await.end(Err("failed".into()), at(number)).await.unwrap();
    }
    operations::prune(&nats).await.unwrap();
    let newest: Vec<u128> = (4..=MAX_KEPT as u128 + 3).rev().collect();
    assert_eq!(numbers(&nats).await, newest);
    assert!(operations::read(&nats, Uuid::from_u128(0)).await.unwrap().is_some());
    assert!(operations::read(&nats, Uuid::from_u128(3)).await.unwrap().is_none());
    // Pruned operations leave no deletion markers, so the bucket does not grow.
    let mut meta = nats.jetstream.get_stream("KV_authentik_meta").await.unwrap();
    assert_eq!(meta.info().await.unwrap().state.messages, MAX_KEPT as u64 + 1);
}

#[tokio::test]
async fn an_operation_whose_process_died_has_failed() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    drop(begin(&nats, 1).await);
    let failed = eventually("the operation counts as abandoned", || async {
        let operation = operations::read(&nats, Uuid::from_u128(1)).await.unwrap().unwrap();
        (operation.state == OperationState::Failed).then_some(operation)
    })
    .await;
    assert!(failed.error.unwrap().contains("died"));
    assert!(failed.ended.is_some());
}
