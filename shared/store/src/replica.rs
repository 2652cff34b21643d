//! A copy of a projection in memory, loaded from its bucket and kept up to date from the event log.

use std::sync::{Arc, PoisonError, RwLock};

use domain::event::Recorded;
use domain::view::{Projection, Views};
use runtime::nats::Nats;
use tokio::sync::watch;

use crate::log::EventLog;
use crate::views::{self, Pointer, pointer_key};

/// A projection in memory. Clones share the views.
#[derive(Clone)]
pub struct Replica<P: Projection> {
    views: Arc<RwLock<Views<P>>>,
    sequence: watch::Sender<u64>,
}

impl<P: Projection> Default for Replica<P> {
    fn default() -> Self {
        Self { views: Arc::default(), sequence: watch::Sender::new(0) }
    }
}

impl<P: Projection> Replica<P> {
    /// Loads the generation that the pointer names, and returns the sequence of the last event folded into it.
    ///
    /// Without a pointer to a generation of this version, the copy is empty and the sequence 0.
    pub async fn load(&self, nats: &Nats) -> anyhow::Result<u64> {
        let pointer =
            views::read::<Pointer>(nats, &nats.namespace.meta_bucket(), &pointer_key(P::NAME)).await?;
        let loaded = match pointer {
            Some(pointer) if pointer.value.version == P::VERSION => {
                let bucket = nats.namespace.projection_bucket(P::NAME, pointer.value.generation);
                let loaded = views::load::<P>(nats, &bucket).await?;
                let sequence = loaded.checkpoint.map_or(0, |checkpoint| checkpoint.value.sequence);
                Views::loaded(loaded.views, sequence)
            }
            Some(_) | None => Views::default(),
        };
        let sequence = loaded.sequence();
        *self.views.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        self.sequence.send_replace(sequence);
        Ok(sequence)
    }

    /// Loads the copy, then applies the events up to the one that is the newest at the time of the call.
    pub async fn catch_up(&self, nats: &Nats, log: &EventLog) -> anyhow::Result<()> {
        let head = log.head().await?;
        let mut sequence = self.load(nats).await?;
        let mut events = log.follow(sequence + 1);
        while sequence < head {
            let message = events.next().await?;
            sequence = message.sequence;
            match message.decode() {
                Ok(event) => self.apply(&event),
                Err(error) => {
                    tracing::warn!(event.sequence = sequence, "skipped an unreadable event: {error}");
                    self.advance(sequence);
                }
            }
        }
        Ok(())
    }

    /// Applies an event. An event that was applied before changes nothing.
    pub fn apply(&self, event: &Recorded) {
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        views.apply(event);
        views.take_changed();
        // Not that of the event: an event that was applied before must not decrease the sequence.
        let sequence = views.sequence();
        drop(views);
        self.sequence.send_replace(sequence);
    }

    /// Advances the sequence without an event, for a message that is skipped.
    pub fn advance(&self, sequence: u64) {
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        views.advance(sequence);
        let sequence = views.sequence();
        drop(views);
        self.sequence.send_replace(sequence);
    }

    /// Reads the views. Writers are blocked until `read` returns.
    pub fn read<T>(&self, read: impl FnOnce(&Views<P>) -> T) -> T {
        read(&self.views.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sequence of the last event that was applied or skipped.
    pub fn sequence(&self) -> u64 {
        *self.sequence.borrow()
    }

    /// Waits until the event at `sequence` is applied or skipped.
    pub async fn wait_for(&self, sequence: u64) {
        // Fails only if the sender is dropped, but `self` holds it.
        let _ = self.sequence.subscribe().wait_for(|seen| *seen >= sequence).await;
    }
}
