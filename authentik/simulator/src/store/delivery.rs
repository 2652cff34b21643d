//! Webhooks that have to be sent.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{self, Timestamp};

/// The first attempt and five retries (`worker.task_max_retries`).
pub const MAX_ATTEMPTS: u32 = 6;

/// How many due deliveries are shuffled: enough to reorder, few enough to stay quick with a long queue.
const SHUFFLED: usize = 64;

/// One event on its way to the webhook.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// The event.
    pub id: Uuid,
    /// Attempts that have ended.
    pub attempts: u32,
    /// How it stands.
    pub status: Status,
    /// When the next attempt may start.
    pub due: Timestamp,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// To be sent, or sent without an answer yet.
    Pending,
    /// The target took it.
    Delivered,
    /// Every attempt failed; kept for a retry by hand.
    Rejected,
    /// Never sent: lost by a fault, or because the event was deleted first.
    Dropped,
}

/// All deliveries that are not over, with counts of those that are.
#[derive(Default)]
pub struct Deliveries {
    open: BTreeMap<Uuid, Delivery>,
    /// Pending and not being sent now.
    due: BTreeSet<(Timestamp, Uuid)>,
    delivered: u64,
    dropped: u64,
}

impl Deliveries {
    /// Takes the new state of a delivery.
    pub fn apply(&mut self, delivery: Delivery) {
        if let Some(before) = self.open.remove(&delivery.id) {
            self.due.remove(&(before.due, before.id));
        }
        match delivery.status {
            Status::Pending => {
                self.due.insert((delivery.due, delivery.id));
                self.open.insert(delivery.id, delivery);
            }
            Status::Rejected => {
                self.open.insert(delivery.id, delivery);
            }
            Status::Delivered => self.delivered += 1,
            Status::Dropped => self.dropped += 1,
        }
    }

    /// Takes one due delivery, in no particular order. It stays pending, so an attempt that is open when
    /// the process dies is made again, but is not taken twice before it is applied again.
    pub fn take_due(&mut self, now: Timestamp) -> Option<Delivery> {
        let due: Vec<(Timestamp, Uuid)> =
            self.due.iter().take_while(|(due, _)| *due <= now).take(SHUFFLED).copied().collect();
        if due.is_empty() {
            return None;
        }
        let entry = due[clock::pick(due.len())];
        self.due.remove(&entry);
        self.open.get(&entry.1).copied()
    }

    /// When the next delivery becomes due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The delivery of an event, while it is pending or rejected.
    pub fn get(&self, id: Uuid) -> Option<Delivery> {
        self.open.get(&id).copied()
    }

    /// Everything pending or rejected.
    pub fn open(&self) -> impl Iterator<Item = &Delivery> {
        self.open.values()
    }

    /// How many are in this state.
    pub fn count(&self, status: Status) -> u64 {
        match status {
            Status::Delivered => self.delivered,
            Status::Dropped => self.dropped,
            Status::Pending | Status::Rejected => {
                self.open.values().filter(|delivery| delivery.status == status).count() as u64
            }
        }
    }

    /// Starts counting where a compacted journal left off.
    pub fn set_counts(&mut self, delivered: u64, dropped: u64) {
        (self.delivered, self.dropped) = (delivered, dropped);
    }
}
