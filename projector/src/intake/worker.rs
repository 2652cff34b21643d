//! Works on deliveries, and answers each according to how that ended.

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

/// How often a worker says that it is still at it.
const PROGRESS: Duration = Duration::from_secs(5);

/// Longest wait before a delivery is tried again.
const MAX_BACKOFF: Duration = Duration::from_mins(1);

/// A hint that takes longer gives its slot to another one, and goes on among the slow ones.
const SLOW: Duration = Duration::from_secs(1);

/// How many slow hints go on for each slot.
const SLOW_PER_SLOT: usize = 4;

/// How many hints are in hand for each slot: those that are worked on, and those that wait for their user's turn.
const IN_HAND_PER_SLOT: usize = 8;

/// How many hints have a place in one lane for each slot: so few that nobody's lane, however slow, keeps everybody
/// else out.
const LANE_PER_SLOT: usize = 2;

pub(super) struct Worker<D> {
    nats: Nats,
    handler: Arc<Handler<D>>,
    lanes: Lanes<HintTarget>,
    slots: Semaphore,
    slow: Semaphore,
    in_hand: Arc<Semaphore>,
    circuit: Signal,
    /// Whether hints are taken from the inbox.
    taking: watch::Receiver<bool>,
}

/// One delivery that is in hand.
pub(super) struct Work<D> {
    worker: Arc<Worker<D>>,
    place: Place<HintTarget>,
    hint: Hint,
    delivery: Delivery,
    message: Message,
}

impl<D: Directory> Worker<D> {
    pub(super) fn new(
        nats: Nats,
        handler: Arc<Handler<D>>,
        concurrency: u16,
        circuit: Signal,
        taking: watch::Receiver<bool>,
    ) -> Self {
        let n_slots = usize::from(concurrency);
        Self {
            nats,
            handler,
            lanes: Lanes::new(n_slots * LANE_PER_SLOT),
            slots: Semaphore::new(n_slots),
            slow: Semaphore::new(n_slots * SLOW_PER_SLOT),
            in_hand: Arc::new(Semaphore::new(n_slots * IN_HAND_PER_SLOT)),
            circuit,
            taking,
        }
    }

    /// Waits until so many more deliveries may be in hand; they may be until the permit is dropped.
    pub(super) async fn room(&self, n_deliveries: u32) -> anyhow::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.in_hand).acquire_many_owned(n_deliveries).await.context("no place for deliveries")
    }

    /// Reads a delivery; what needs no look at authentik is answered here.
    pub(super) async fn begin(self: Arc<Self>, message: Message) -> Option<Work<D>> {
        let Some(delivery) = Delivery::from_message(&self.nats, &message) else {
            tracing::error!(subject = %message.subject, "a message in the inbox is no delivery; it stays there");
            answer(&message, AckKind::Ack).await;
            count("not-a-delivery");
            return None;
        };
        match Handler::<D>::read(&delivery) {
            Ok(Parsed::Hint(hint)) => {
                let Some(place) = self.lanes.queue(&hint.target) else {
                    tracing::debug!(delivery.id = %delivery.id, "too many wait for the same turn");
                    count("put-back");
                    answer(&message, AckKind::Nak(Some(backoff(&delivery)))).await;
                    return None;
                };
                Some(Work { worker: self, place, hint: *hint, delivery, message })
            }
            Ok(Parsed::Ignored(reason)) => {
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

    /// Works on a hint when its turn comes and a slot is free; nothing where no more hints are taken before that.
    async fn work(
        &self,
        place: &mut Place<HintTarget>,
        hint: Hint,
        delivery: &Delivery,
    ) -> Option<Result<Handled, HandleError>> {
        let slot = async {
            place.turn().await;
            self.slots.acquire().await
        };
        let slot = tokio::select! {
            biased;
            () = self.nothing_is_taken() => return None,
            slot = slot => slot,
        };
        let mut handling = std::pin::pin!(self.handler.handle(hint, delivery));
        if let Ok(handled) = tokio::time::timeout(SLOW, &mut handling).await {
            return Some(handled);
        }
        // Where all places for slow ones are taken, the slot is kept.
        let _among_slow = tokio::select! {
            handled = &mut handling => return Some(handled),
            place = self.slow.acquire() => place,
        };
        drop(slot);
        Some(handling.await)
    }

    async fn nothing_is_taken(&self) {
        // It ends with the inbox, and then nothing is taken either.
        let _ = self.taking.clone().wait_for(|taking| !taking).await;
    }

    /// Whoever can ask authentik may have it now.
    async fn let_go(&self, message: &Message) {
        // While the inbox still takes hints, it would only come here again.
        let mut circuit = self.circuit.clone();
        tokio::select! {
            () = self.nothing_is_taken() => {}
            () = circuit.closed() => {}
        }
        count("let-go");
        answer(message, AckKind::Nak(None)).await;
    }

    /// The kind of error picks the answer.
    async fn settle(&self, delivery: &Delivery, message: &Message, result: Result<Handled, HandleError>) {
        match result {
            Ok(Handled::Done) => {
                count("done");
                answer(message, AckKind::Ack).await;
            }
            Ok(Handled::LookAgain(delay)) => answer(message, AckKind::Nak(Some(delay))).await,
            Err(HandleError::Retry(cause) | HandleError::Misconfigured(cause)) => {
                let delay = backoff(delivery);
                // The opening of the circuit was told once.
                if self.circuit.is_open() {
                    tracing::debug!(delivery.id = %delivery.id, "will try again in {delay:?}: {cause:#}");
                } else {
                    tracing::warn!(delivery.id = %delivery.id, "will try again in {delay:?}: {cause:#}");
                }
                count("retried");
                answer(message, AckKind::Nak(Some(delay))).await;
            }
            Err(HandleError::NotAsked(_)) => self.let_go(message).await,
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
    pub(super) async fn finish(self) {
        let Self { worker, mut place, hint, delivery, message } = self;
        let mut working = std::pin::pin!(worker.work(&mut place, hint, &delivery));
        let result = loop {
            match tokio::time::timeout(PROGRESS, &mut working).await {
                Ok(result) => break result,
                // Still at it, or waiting for its turn: nobody else needs to begin.
                Err(_) => answer(&message, AckKind::Progress).await,
            }
        };
        match result {
            Some(result) => worker.settle(&delivery, &message, result).await,
            None => worker.let_go(&message).await,
        }
    }
}

/// 1 s, doubling, up to a minute; spread by the delivery's id, so that they do not all come back at once.
fn backoff(delivery: &Delivery) -> Duration {
    let doublings = u32::try_from(delivery.n_deliveries.clamp(1, 7) - 1).unwrap_or(0);
    let base = Duration::from_secs(1 << doublings).min(MAX_BACKOFF);
    let spread: u32 = delivery.id.as_str().bytes().map(u32::from).sum::<u32>() % 50;
    base.mul_f64(f64::from(50 + spread) / 100.0)
}

/// An answer that is lost costs a needless repetition, nothing more.
pub(super) async fn answer(message: &Message, kind: AckKind) {
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
    fn the_wait_before_another_try_grows_to_a_minute() {
        assert!(backoff(&delivered(1)) <= Duration::from_secs(1));
        assert!(backoff(&delivered(4)) > backoff(&delivered(3)));
        assert!(backoff(&delivered(1_000_000)) <= MAX_BACKOFF);
    }
}
