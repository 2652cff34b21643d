//! Processes deliveries, and acknowledges each according to the result.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::{AckKind, Message};
use domain::hint::{Hint, HintTarget, Parsed};
use runtime::nats::Nats;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::handle::{Handled, Handler};
use super::lanes::{Lanes, Place};
use crate::dead_letters;
use crate::delivery::Delivery;
use crate::directory::{Directory, Signal};
use crate::record::HandleError;

/// How often a worker resets the acknowledgement timeout of a delivery in progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// The longest wait before a retry.
const MAX_BACKOFF: Duration = Duration::from_mins(1);

/// A hint that takes longer than this frees its slot and continues as a slow hint.
const SLOW: Duration = Duration::from_secs(1);

/// How many slow hints may run for each slot.
const SLOW_PER_SLOT: usize = 4;

/// How many hints may be in progress for each slot: those that run, and those that wait for a lane or a slot.
const IN_PROGRESS_PER_SLOT: usize = 8;

/// How many places one lane has for each slot. It is less than [`IN_PROGRESS_PER_SLOT`], so a single slow user cannot
/// block all others.
const LANE_PER_SLOT: usize = 2;

pub(super) struct Worker<D> {
    pub(super) nats: Nats,
    pub(super) handler: Arc<Handler<D>>,
    pub(super) capacity: Capacity,
    pub(super) circuit: Signal,
    /// Whether this process takes hints from the inbox.
    pub(super) taking: watch::Receiver<bool>,
}

/// How many hints may run, run slowly, wait for the same user, and be in progress altogether.
pub(super) struct Capacity {
    slots: Semaphore,
    slow: Semaphore,
    lanes: Lanes<HintTarget>,
    in_progress: Arc<Semaphore>,
}

impl Capacity {
    pub(super) fn for_concurrency(concurrency: u16) -> Self {
        let n_slots = usize::from(concurrency);
        Self {
            slots: Semaphore::new(n_slots),
            slow: Semaphore::new(n_slots * SLOW_PER_SLOT),
            lanes: Lanes::new(n_slots * LANE_PER_SLOT),
            in_progress: Arc::new(Semaphore::new(n_slots * IN_PROGRESS_PER_SLOT)),
        }
    }
}

/// One delivery in progress.
pub(super) struct Work<D> {
    worker: Arc<Worker<D>>,
    place: Place<HintTarget>,
    hint: Hint,
    delivery: Delivery,
    message: Message,
}

impl<D: Directory> Worker<D> {
    /// Waits for permission to have this number of further deliveries in progress.
    pub(super) async fn room(&self, n_deliveries: u32) -> anyhow::Result<OwnedSemaphorePermit> {
        let in_progress = Arc::clone(&self.capacity.in_progress);
        in_progress.acquire_many_owned(n_deliveries).await.context("waiting for room for deliveries")
    }

    /// Reads a delivery. Acknowledges it here, and returns `None`, if it needs no request to authentik.
    pub(super) async fn begin(self: Arc<Self>, message: Message) -> Option<Work<D>> {
        let Some(delivery) = Delivery::from_message(&self.nats, &message) else {
            tracing::error!(subject = %message.subject, "a message in the inbox is not a delivery; left it there");
            acknowledge(&message, AckKind::Ack).await;
            count("not-a-delivery");
            return None;
        };
        match Handler::<D>::read(&delivery) {
            Ok(Parsed::Hint(hint)) => {
                let Some(place) = self.capacity.lanes.queue(&hint.target) else {
                    tracing::debug!(delivery.id = %delivery.id, "too many hints wait for the same user or group");
                    count("put-back");
                    acknowledge(&message, AckKind::Nak(Some(backoff(&delivery)))).await;
                    return None;
                };
                Some(Work { worker: self, place, hint: *hint, delivery, message })
            }
            Ok(Parsed::Ignored(reason)) => {
                tracing::debug!(delivery.id = %delivery.id, "nothing to record: {}", reason.as_str());
                count(reason.as_str());
                acknowledge(&message, AckKind::Ack).await;
                None
            }
            Err(error) => {
                self.respond(&delivery, &message, Err(error)).await;
                None
            }
        }
    }

    /// Records a hint after its turn has come and a slot is free. Returns `None` if the intake stops before that.
    async fn record(
        &self,
        place: &mut Place<HintTarget>,
        hint: Hint,
        delivery: &Delivery,
    ) -> Option<Result<Handled, HandleError>> {
        let slot = async {
            place.turn().await;
            self.capacity.slots.acquire().await
        };
        let slot = tokio::select! {
            biased;
            () = self.intake_stopped() => return None,
            slot = slot => slot,
        };
        let mut handling = std::pin::pin!(self.handler.handle(hint, delivery));
        if let Ok(handled) = tokio::time::timeout(SLOW, &mut handling).await {
            return Some(handled);
        }
        // While too many slow hints run, this hint keeps its slot.
        let _slow_permit = tokio::select! {
            handled = &mut handling => return Some(handled),
            permit = self.capacity.slow.acquire() => permit,
        };
        drop(slot);
        Some(handling.await)
    }

    async fn intake_stopped(&self) {
        // An error means that the sender was dropped: then the intake has stopped as well.
        let _ = self.taking.clone().wait_for(|taking| !taking).await;
    }

    /// Returns a delivery to the inbox, so that a projector that reaches authentik can process it.
    async fn return_to_inbox(&self, message: &Message) {
        // While the intake of this process runs, it would receive the delivery again.
        let mut circuit = self.circuit.clone();
        tokio::select! {
            () = self.intake_stopped() => {}
            () = circuit.closed() => {}
        }
        count("let-go");
        acknowledge(message, AckKind::Nak(None)).await;
    }

    /// Acknowledges a delivery. The kind of error decides how.
    async fn respond(&self, delivery: &Delivery, message: &Message, result: Result<Handled, HandleError>) {
        match result {
            Ok(Handled::Done) => {
                count("done");
                acknowledge(message, AckKind::Ack).await;
            }
            Ok(Handled::RepeatAfter(delay)) => acknowledge(message, AckKind::Nak(Some(delay))).await,
            Err(HandleError::Retry(cause) | HandleError::Misconfigured(cause)) => {
                let delay = backoff(delivery);
                // The opening of the circuit breaker was logged already.
                if self.circuit.is_open() {
                    tracing::debug!(delivery.id = %delivery.id, "retrying in {delay:?}: {cause:#}");
                } else {
                    tracing::warn!(delivery.id = %delivery.id, "retrying in {delay:?}: {cause:#}");
                }
                count("retried");
                acknowledge(message, AckKind::Nak(Some(delay))).await;
            }
            Err(HandleError::CircuitOpen(_)) => self.return_to_inbox(message).await,
            Err(HandleError::DeletionRefused(cause)) => {
                tracing::error!(delivery.id = %delivery.id, "a deletion is held back: {cause:#}");
                count("stopped");
                acknowledge(message, AckKind::Nak(Some(backoff(delivery)))).await;
            }
            Err(HandleError::Reject(cause)) => self.set_aside(delivery, message, &cause).await,
        }
    }

    /// Stores a dead letter, then terminates the delivery. A crash in between stores the dead letter again under its id.
    async fn set_aside(&self, delivery: &Delivery, message: &Message, cause: &anyhow::Error) {
        tracing::error!(delivery.id = %delivery.id, "set aside as a dead letter: {cause:#}");
        match dead_letters::set_aside(&self.nats, delivery, message, &format!("{cause:#}")).await {
            Ok(()) => {
                count("dead-letter");
                acknowledge(message, AckKind::Term).await;
            }
            Err(error) => {
                tracing::error!(delivery.id = %delivery.id, "cannot set the delivery aside; retrying: {error:#}");
                acknowledge(message, AckKind::Nak(Some(backoff(delivery)))).await;
            }
        }
    }
}

impl<D: Directory> Work<D> {
    pub(super) async fn finish(self) {
        let Self { worker, mut place, hint, delivery, message } = self;
        let mut recording = std::pin::pin!(worker.record(&mut place, hint, &delivery));
        let result = loop {
            match tokio::time::timeout(PROGRESS, &mut recording).await {
                Ok(result) => break result,
                // The hint runs or waits for its turn: keep the server from delivering it again.
                Err(_) => acknowledge(&message, AckKind::Progress).await,
            }
        };
        match result {
            Some(result) => worker.respond(&delivery, &message, result).await,
            None => worker.return_to_inbox(&message).await,
        }
    }
}

/// Doubles from 1 s to 1 min. The delivery's id reduces it by up to half, so that retries spread out.
fn backoff(delivery: &Delivery) -> Duration {
    let doublings = u32::try_from(delivery.n_deliveries.clamp(1, 7) - 1).unwrap_or(0);
    let base = Duration::from_secs(1 << doublings).min(MAX_BACKOFF);
    let spread: u32 = delivery.id.as_str().bytes().map(u32::from).sum::<u32>() % 50;
    base.mul_f64(f64::from(50 + spread) / 100.0)
}

/// Acknowledges a message. A lost acknowledgement causes only a redundant redelivery.
pub(super) async fn acknowledge(message: &Message, kind: AckKind) {
    if let Err(error) = message.ack_with(kind).await {
        tracing::debug!("an acknowledgement was lost: {error}");
    }
}

fn count(result: &'static str) {
    metrics::counter!("projector_deliveries_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use domain::event::Channel;

    use super::*;

    fn delivered(n_deliveries: i64) -> Delivery {
        let received = "2026-11-22T08:00:00Z".parse().unwrap();
        let id = "f9fc2ade-fae3-4865-a48c-7fb4d921559e".parse().unwrap();
        Delivery { id, channel: Channel::Webhook, body: bytes::Bytes::new(), received, n_deliveries }
    }

    #[test]
    fn the_wait_before_a_retry_grows_to_a_minute() {
        assert!(backoff(&delivered(1)) <= Duration::from_secs(1));
        assert!(backoff(&delivered(4)) > backoff(&delivered(3)));
        assert!(backoff(&delivered(1_000_000)) <= MAX_BACKOFF);
    }
}
