//! Takes deliveries from the inbox and answers each according to how handling it ended.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use domain::event::Channel;
use domain::hint::{About, Reading};
use futures_util::StreamExt;
use runtime::CancellationToken;
use runtime::nats::Nats;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::dead_letters;
use crate::directory::Directory;
use crate::handle::{Delivery, Handled, Handler};
use crate::lanes::Lanes;
use crate::record::HandleError;

/// Name of the durable consumer that all projectors share.
pub(crate) const CONSUMER: &str = "projector";

/// A delivery that a dead worker held comes back after this time.
const ACK_WAIT: Duration = Duration::from_secs(15);

/// How often a worker says that it is still at it.
const PROGRESS: Duration = Duration::from_secs(5);

/// How long a shutdown waits for the hints in hand.
const GRACE: Duration = Duration::from_secs(9);

/// Longest wait before a delivery is tried again.
const MAX_BACKOFF: Duration = Duration::from_mins(1);

/// The inbox and how many hints are worked on at once.
pub(crate) struct Inbox {
    pub(crate) nats: Nats,
    pub(crate) concurrency: u16,
}

impl Inbox {
    /// Works until shutdown; then what is in hand is finished, and the rest stays for others.
    pub(crate) async fn work<D: Directory>(
        self,
        handler: Arc<Handler<D>>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let worker = Worker {
            nats: self.nats.clone(),
            handler,
            lanes: Lanes::new(),
            at_once: Semaphore::new(self.concurrency.into()),
        };
        let worker = Arc::new(worker);
        let tracker = TaskTracker::new();
        while !shutdown.is_cancelled() {
            let took = self.take(&worker, &tracker, &shutdown).await;
            if let Err(error) = took {
                tracing::warn!("cannot read the inbox now: {error:#}");
                shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(500))).await;
            }
        }
        tracker.close();
        if tokio::time::timeout(GRACE, tracker.wait()).await.is_err() {
            tracing::warn!("{} hints were not finished in time; others will finish them", tracker.len());
        }
        Ok(())
    }

    async fn take<D: Directory>(
        &self,
        worker: &Arc<Worker<D>>,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        // As many again as are worked on may wait for their user's turn.
        let in_hand = Arc::new(Semaphore::new(usize::from(self.concurrency) * 2));
        let consumer = self.consumer().await?;
        let messages = consumer.stream().max_messages_per_batch(usize::from(self.concurrency) * 2);
        let mut messages = messages.messages().await.context("reading the inbox")?;
        loop {
            let Some(permit) = shutdown.run_until_cancelled(Arc::clone(&in_hand).acquire_owned()).await
            else {
                return Ok(());
            };
            let next = tokio::select! {
                next = messages.next() => next,
                () = shutdown.cancelled() => return Ok(()),
            };
            let message = next.context("the inbox ended")?.context("reading the inbox")?;
            let worker = Arc::clone(worker);
            // The place in the lane is taken here, in the order of arrival.
            let Some(work) = worker.begin(message).await else { continue };
            tracker.spawn(async move {
                let _permit = permit;
                work.finish().await;
            });
        }
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

struct Worker<D> {
    nats: Nats,
    handler: Arc<Handler<D>>,
    lanes: Lanes<About>,
    at_once: Semaphore,
}

/// One delivery that is in hand.
struct Work<D> {
    worker: Arc<Worker<D>>,
    place: crate::lanes::Place<About>,
    hint: domain::hint::Hint,
    delivery: Delivery,
    message: Message,
}

impl<D: Directory> Worker<D> {
    /// Reads a delivery; what needs no look at authentik is answered here.
    async fn begin(self: Arc<Self>, message: Message) -> Option<Work<D>> {
        let Some(delivery) = delivery_of(&self.nats, &message) else {
            tracing::error!(subject = %message.subject, "a message in the inbox is no delivery; it stays there");
            answer(&message, AckKind::Ack).await;
            count("not-a-delivery");
            return None;
        };
        match Handler::<D>::read(&delivery) {
            Ok(Reading::Look(hint)) => {
                let place = self.lanes.queue(&hint.about);
                Some(Work { worker: self, place, hint: *hint, delivery, message })
            }
            Ok(Reading::Nothing(reason)) => {
                tracing::debug!(delivery.id = %delivery.id, "nothing to record: {}", reason.as_str());
                count(reason.as_str());
                answer(&message, AckKind::Ack).await;
                None
            }
            Err(error) => {
                self.settle(&delivery, &message, Err(error)).await;
                None
            }
        }
    }

    /// The kind of error picks the answer.
    async fn settle(&self, delivery: &Delivery, message: &Message, result: Result<Handled, HandleError>) {
        match result {
            Ok(Handled::Done) => {
                count("done");
                answer(message, AckKind::Ack).await;
            }
            Ok(Handled::LookAgain(delay)) => answer(message, AckKind::Nak(Some(delay))).await,
            Err(HandleError::Retry(cause)) => {
                let delay = backoff(delivery);
                tracing::warn!(delivery.id = %delivery.id, "will try again in {delay:?}: {cause:#}");
                count("retried");
                answer(message, AckKind::Nak(Some(delay))).await;
            }
            Err(HandleError::Misconfigured(cause)) => {
                let delay = backoff(delivery);
                tracing::error!(delivery.id = %delivery.id, "nothing is recorded until this is mended: {cause:#}");
                count("misconfigured");
                answer(message, AckKind::Nak(Some(delay))).await;
            }
            Err(HandleError::Stopped(cause)) => {
                tracing::error!(delivery.id = %delivery.id, "not recorded: {cause:#}");
                count("stopped");
                answer(message, AckKind::Nak(Some(backoff(delivery)))).await;
            }
            Err(HandleError::Reject(cause)) => self.set_aside(delivery, message, &cause).await,
        }
    }

    /// Kept for a person first, terminated then: a crash in between sets it aside once more, under the same id.
    async fn set_aside(&self, delivery: &Delivery, message: &Message, cause: &anyhow::Error) {
        tracing::error!(delivery.id = %delivery.id, "set aside as a dead letter: {cause:#}");
        match dead_letters::set_aside(&self.nats, delivery, message, &format!("{cause:#}")).await {
            Ok(()) => {
                count("dead-letter");
                answer(message, AckKind::Term).await;
            }
            Err(error) => {
                tracing::error!(delivery.id = %delivery.id, "cannot set it aside, will try again: {error:#}");
                answer(message, AckKind::Nak(Some(backoff(delivery)))).await;
            }
        }
    }
}

impl<D: Directory> Work<D> {
    async fn finish(mut self) {
        self.place.turn().await;
        let _permit = self.worker.at_once.acquire().await;
        let handling = self.worker.handler.handle(self.hint, &self.delivery);
        let mut handling = std::pin::pin!(handling);
        let result = loop {
            match tokio::time::timeout(PROGRESS, &mut handling).await {
                Ok(result) => break result,
                // Still at it: nobody else needs to begin.
                Err(_) => answer(&self.message, AckKind::Progress).await,
            }
        };
        self.worker.settle(&self.delivery, &self.message, result).await;
        drop(self.place);
    }
}

fn delivery_of(nats: &Nats, message: &Message) -> Option<Delivery> {
    let id = nats.namespace.delivery_of(&message.subject)?;
    let info = message.info().ok()?;
    let channel = message
        .headers
        .as_ref()
        .and_then(|headers| Channel::from_name(headers.get(store::inbox::CHANNEL)?.as_str()));
    Some(Delivery {
        id,
        channel: channel.unwrap_or(Channel::Webhook),
        body: message.payload.clone(),
        received: info.published.into(),
        n_deliveries: info.delivered,
    })
}

/// 1 s, doubling, up to a minute; spread by the delivery's id, so that they do not all come back at once.
fn backoff(delivery: &Delivery) -> Duration {
    let doublings = u32::try_from(delivery.n_deliveries.clamp(1, 7) - 1).unwrap_or(0);
    let base = Duration::from_secs(1 << doublings).min(MAX_BACKOFF);
    let spread: u32 = delivery.id.as_str().bytes().map(u32::from).sum::<u32>() % 50;
    base.mul_f64(f64::from(50 + spread) / 100.0)
}

/// An answer that is lost costs a needless repetition, nothing more.
async fn answer(message: &Message, kind: AckKind) {
    if let Err(error) = message.ack_with(kind).await {
        tracing::debug!("an acknowledgement was lost: {error}");
    }
}

fn count(result: &'static str) {
    metrics::counter!("projector_deliveries_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(n_deliveries: i64) -> Delivery {
        let received = "2026-11-22T08:00:00Z".parse().unwrap();
        let id = "f9fc2ade-fae3-4865-a48c-7fb4d921559e".parse().unwrap();
        Delivery { id, channel: Channel::Webhook, body: bytes::Bytes::new(), received, n_deliveries }
    }

    #[test]
    fn the_wait_before_another_try_grows_to_a_minute() {
        assert!(backoff(&delivered(1)) <= Duration::from_secs(1));
        assert!(backoff(&delivered(4)) > backoff(&delivered(3)));
        assert!(backoff(&delivered(1_000_000)) <= MAX_BACKOFF);
    }
}
