//! The queue of webhooks to send.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{self, Timestamp};

/// The first attempt and five retries, like authentik's `worker.task_max_retries: 5`.
pub const MAX_ATTEMPTS: u32 = 6;

/// The next delivery is picked from this many due ones: enough to reorder them, few enough to stay fast with
/// a long queue.
const SHUFFLE_WINDOW: usize = 64;

/// The delivery of one event to the webhook.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// The key of the event.
    pub id: Uuid,
    /// The number of completed attempts.
    pub attempts: u32,
    /// The progress of the delivery.
    pub status: Status,
    /// When the next attempt may start.
    pub due: Timestamp,
}

/// The progress of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waiting for an attempt, or being attempted now.
    Pending,
    /// Accepted by the target.
    Delivered,
    /// Given up after the last attempt failed.
    Rejected,
    /// Never sent, because of a fault or because the event was deleted first.
    Dropped,
}

/// All pending deliveries, and the number of completed ones.
#[derive(Default)]
pub struct Deliveries {
    pending: BTreeMap<Uuid, Delivery>,
    /// The pending deliveries that are not being attempted now, by due time.
    due: BTreeSet<(Timestamp, Uuid)>,
    n_delivered: u64,
    n_rejected: u64,
    n_dropped: u64,
}

impl Deliveries {
    /// Stores the new state of a delivery.
    pub fn apply(&mut self, delivery: Delivery) {
        if let Some(before) = self.pending.remove(&delivery.id) {
            self.due.remove(&(before.due, before.id));
        }
        match delivery.status {
            Status::Pending => {
                self.due.insert((delivery.due, delivery.id));
                self.pending.insert(delivery.id, delivery);
            }
            Status::Delivered => self.n_delivered += 1,
            Status::Rejected => self.n_rejected += 1,
            Status::Dropped => self.n_dropped += 1,
        }
    }

    /// Takes a random due delivery. It stays pending, so a restart during the attempt sends it again, but it
    /// is not taken again until its outcome is applied.
    pub fn take_due(&mut self, now: Timestamp) -> Option<Delivery> {
        let due: Vec<(Timestamp, Uuid)> =
            self.due.iter().take_while(|(due, _)| *due <= now).take(SHUFFLE_WINDOW).copied().collect();
        if due.is_empty() {
            return None;
        }
        let entry = due[clock::random_index(due.len())];
        self.due.remove(&entry);
        self.pending.get(&entry.1).copied()
    }

    /// When the next delivery becomes due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The delivery of an event, if it is pending.
    pub fn get(&self, id: Uuid) -> Option<Delivery> {
        self.pending.get(&id).copied()
    }

    /// All pending deliveries.
    pub fn pending(&self) -> impl Iterator<Item = &Delivery> {
        self.pending.values()
    }

    /// The number of deliveries with this status.
    pub fn count(&self, status: Status) -> u64 {
        match status {
            Status::Pending => self.pending.len() as u64,
            Status::Delivered => self.n_delivered,
            Status::Rejected => self.n_rejected,
            Status::Dropped => self.n_dropped,
        }
    }

    /// Restores the counts of a compacted journal.
    pub fn set_counts(&mut self, delivered: u64, rejected: u64, dropped: u64) {
        (self.n_delivered, self.n_rejected, self.n_dropped) = (delivered, rejected, dropped);
    }
}
