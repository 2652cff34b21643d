//! Takes deliveries from the inbox while authentik can be asked about them.

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
use worker::{Worker, answer};

/// Name of the durable consumer that all projectors share.
pub(crate) const CONSUMER: &str = "projector";

/// A delivery that a dead worker held comes back after this time.
const ACK_WAIT: Duration = Duration::from_secs(15);

/// How long a request for deliveries stands at the server. One that got lost, as with a leader, is made anew after that.
const PULL: Duration = Duration::from_secs(5);

/// Whatever the server has sent is here after this time.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// How long a shutdown waits for the hints in hand: shorter than [`runtime::program::GRACE`].
const GRACE: Duration = Duration::from_secs(7);

/// The inbox and how many hints are worked on at once.
pub(crate) struct Inbox {
    pub(crate) nats: Nats,
    pub(crate) concurrency: u16,
    pub(crate) circuit: Signal,
}

impl Inbox {
    /// Works until shutdown; then what is in hand is finished, and the rest stays for others.
    pub(crate) async fn work<D: Directory>(
        self,
        handler: Arc<Handler<D>>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let taking = watch::Sender::new(false);
        let worker = Worker::new(
            self.nats.clone(),
            handler,
            self.concurrency,
            self.circuit.clone(),
            taking.subscribe(),
        );
        let worker = Arc::new(worker);
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
                tracing::warn!("cannot read the inbox now: {error:#}");
                shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(500))).await;
            }
            taking.send_replace(false);
        }
        tracker.close();
        if tokio::time::timeout(GRACE, tracker.wait()).await.is_err() {
            tracing::warn!("{} hints were not finished in time; others will finish them", tracker.len());
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
                        let_go(batch).await;
                        return Ok(());
                    }
                    next = batch.next() => next,
                    // What was asked for on a connection that was lost does not come any more.
                    Ok(()) = connects.changed() => None,
                };
                let Some(message) = next else { break };
                let message = message.map_err(|error| anyhow::anyhow!("reading the inbox: {error}"))?;
                let place = room.split(1);
                // The place in the lane is taken here, in the order of arrival.
                let Some(work) = Arc::clone(worker).begin(message).await else { continue };
                tracker.spawn(async move {
                    let _place = place;
                    work.finish().await;
                });
            }
        }
    }

    /// Asks for as many as there is room for: what waited in a buffer would be taken for lost.
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
        let stream =
            self.nats.jetstream.get_stream(self.nats.namespace.inbox_stream()).await.context("the inbox")?;
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
        stream.get_or_create_consumer(CONSUMER, config).await.context("the inbox's consumer")
    }
}

/// Gives back what is on its way, so that it need not be taken for lost first.
async fn let_go(mut batch: pull::Batch) {
    let mut arrived: Vec<Message> = vec![];
    while let Ok(Some(Ok(message))) = tokio::time::timeout(ON_ITS_WAY, batch.next()).await {
        arrived.push(message);
    }
    // What is given back while it is still asked for would come here again.
    drop(batch);
    for message in &arrived {
        answer(message, AckKind::Nak(None)).await;
    }
}
