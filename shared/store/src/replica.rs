//! A reader's own copy of a projection: loaded from its bucket, then folded from the log as it grows.

use std::sync::{Arc, PoisonError, RwLock};

use domain::event::Recorded;
use domain::view::{Projection, Views};
use runtime::nats::Nats;
use tokio::sync::watch;

use crate::log::EventLog;
use crate::views::{self, Pointer, pointer_key};

/// A projection in memory. Clones share it.
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
    /// Loads the generation that the pointer names. Without a pointer, or with one of another version, the
    /// copy begins empty, to be folded from the first event.
    ///
    /// Returns the sequence that it is folded up to.
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

    /// Loads, and reads on to the newest event that is there now.
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
                    tracing::warn!(
                        event.sequence = sequence,
                        "left out an event that cannot be read: {error}"
                    );
                    self.advance(sequence);
                }
            }
        }
        Ok(())
    }

    /// Takes in one event; one that was taken in before changes nothing.
    pub fn apply(&self, event: &Recorded) {
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        views.apply(event);
        views.take_changed();
        // Not the event's own: one that was taken in before must not turn the clock back.
        let sequence = views.sequence();
        drop(views);
        self.sequence.send_replace(sequence);
    }

    /// Notes that the log was seen up to `sequence`, though what stands there concerns nothing here.
    pub fn advance(&self, sequence: u64) {
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        views.advance(sequence);
        let sequence = views.sequence();
        drop(views);
        self.sequence.send_replace(sequence);
    }

    /// Reads from the copy. Keep it short: writers wait.
    pub fn read<T>(&self, read: impl FnOnce(&Views<P>) -> T) -> T {
        read(&self.views.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sequence of the last event taken in.
    pub fn sequence(&self) -> u64 {
        *self.sequence.borrow()
    }

    /// Waits until the event of that sequence is taken in.
    pub async fn wait_for(&self, sequence: u64) {
        // The sender is ours: it cannot be gone.
        let _ = self.sequence.subscribe().wait_for(|seen| *seen >= sequence).await;
    }
}
