//! Takes deliveries from the inbox while the circuit breaker for authentik is closed.

mod handle;
mod lanes;
mod worker;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt;
use runtime::CancellationToken;
use runtime::nats::Nats;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::task::TaskTracker;

use crate::directory::{Directory, Signal};
pub(crate) use handle::Handler;
use worker::{Capacity, Worker, acknowledge};

/// Name of the durable consumer that all projectors share.
pub(crate) const CONSUMER: &str = "projector";

/// The server redelivers a delivery after this time without an acknowledgement: its worker is dead.
const ACK_WAIT: Duration = Duration::from_secs(15);

/// How long a pull request waits at the server. A request that was lost with a leader is replaced after this time.
const PULL: Duration = Duration::from_secs(5);

/// How long to wait for messages that the server has already sent.
const IN_FLIGHT: Duration = Duration::from_millis(100);

/// How long a shutdown waits for the hints in progress: shorter than [`runtime::program::GRACE`].
const GRACE: Duration = Duration::from_secs(7);

/// The inbox, as all projectors share it.
pub(crate) struct Inbox {
    pub(crate) nats: Nats,
    /// How many hints to process concurrently.
    pub(crate) concurrency: u16,
    pub(crate) circuit: Signal,
}

impl Inbox {
    /// Processes deliveries until shutdown, then finishes those in progress. All others stay for other projectors.
    pub(crate) async fn work<D: Directory>(
        self,
        handler: Arc<Handler<D>>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let taking = watch::Sender::new(false);
        let worker = Arc::new(Worker {
            nats: self.nats.clone(),
            handler,
            capacity: Capacity::for_concurrency(self.concurrency),
            circuit: self.circuit.clone(),
            taking: taking.subscribe(),
        });
        let tracker = TaskTracker::new();
        let mut circuit = self.circuit.clone();
        while shutdown.run_until_cancelled(circuit.closed()).await.is_some() {
            let stop = async {
                tokio::select! {
                    () = circuit.opened() => {}
                    () = shutdown.cancelled() => {}
                }
            };
            taking.send_replace(true);
            if let Err(error) = self.take_until(stop, &worker, &tracker).await {
                tracing::warn!("cannot read the inbox; trying again: {error:#}");
                shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(500))).await;
            }
            taking.send_replace(false);
        }
        tracker.close();
        if tokio::time::timeout(GRACE, tracker.wait()).await.is_err() {
            tracing::warn!("{} hints were not finished in time and will be redelivered", tracker.len());
        }
        Ok(())
    }

    async fn take_until<D: Directory>(
        &self,
        stop: impl Future<Output = ()>,
        worker: &Arc<Worker<D>>,
        tracker: &TaskTracker,
    ) -> anyhow::Result<()> {
        let mut stop = std::pin::pin!(stop);
        let mut connects = self.nats.connects();
        let consumer = tokio::select! {
            consumer = self.consumer() => consumer?,
            () = &mut stop => return Ok(()),
        };
        loop {
            let (mut room, mut batch) = tokio::select! {
                pulled = self.pull(&consumer, worker) => pulled?,
                () = &mut stop => return Ok(()),
            };
            loop {
                let next = tokio::select! {
                    biased;
                    () = &mut stop => {
                        return_to_inbox(batch).await;
                        return Ok(());
                    }
                    next = batch.next() => next,
                    // A pull request of a lost connection is never answered.
                    Ok(()) = connects.changed() => None,
                };
                let Some(message) = next else { break };
                let message = message.map_err(|error| anyhow::anyhow!("reading the inbox: {error}"))?;
                let place = room.split(1);
                // `begin` assigns the places in a lane, so it must run in the order of arrival.
                let Some(work) = Arc::clone(worker).begin(message).await else { continue };
                tracker.spawn(async move {
                    let _place = place;
                    work.finish().await;
                });
            }
        }
    }

    /// Requests only as many deliveries as can start now: buffered ones could exceed the acknowledgement timeout.
    async fn pull<D: Directory>(
        &self,
        consumer: &PullConsumer,
        worker: &Worker<D>,
    ) -> anyhow::Result<(OwnedSemaphorePermit, pull::Batch)> {
        let room = worker.room(self.concurrency.into()).await?;
        let batch = consumer.batch().max_messages(room.num_permits()).expires(PULL).messages().await;
        Ok((room, batch.context("reading the inbox")?))
    }

    async fn consumer(&self) -> anyhow::Result<PullConsumer> {
        let stream = self.nats.jetstream.get_stream(self.nats.namespace.inbox_stream()).await;
        let stream = stream.context("opening the inbox")?;
        let config = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            description: Some("Hints for the projectors".to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            max_ack_pending: 5000,
            ..pull::Config::default()
        };
        stream.get_or_create_consumer(CONSUMER, config).await.context("creating the inbox's consumer")
    }
}

/// Returns messages in flight to the inbox, so that other projectors need not wait for the acknowledgement timeout.
async fn return_to_inbox(mut batch: pull::Batch) {
    let mut arrived: Vec<Message> = vec![];
    while let Ok(Some(Ok(message))) = tokio::time::timeout(IN_FLIGHT, batch.next()).await {
        arrived.push(message);
    }
    // With the pull request still open, the server would deliver the returned messages here again.
    drop(batch);
    for message in &arrived {
        acknowledge(message, AckKind::Nak(None)).await;
    }
}
