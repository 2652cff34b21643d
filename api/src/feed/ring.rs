//! A ring buffer of the newest events.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use domain::event::EventType;
use domain::key::Entity;
use tokio::sync::watch;

use super::filter::Filter;
use super::frame::Frame;

/// Maximum number of events in the ring.
const MAX_FRAMES: usize = 16_384;

/// Maximum size of the ring in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Maximum number of events that one read examines while it holds the lock.
const MAX_SCANNED: usize = 4_096;

/// The ring, and the sequence of the newest log message in it. A slow reader costs nothing: it is only a cursor.
pub struct Feed {
    ring: RwLock<Ring>,
    head: watch::Sender<u64>,
}

struct Ring {
    frames: VecDeque<Frame>,
    n_bytes: usize,
    /// The ring holds every event from this sequence on.
    start: u64,
    max_frames: usize,
    max_bytes: usize,
}

/// Limits of one read.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Maximum number of events.
    pub n_frames: usize,
    /// Maximum size in bytes. A single larger event is still returned.
    pub n_bytes: usize,
}

/// The result of one read.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// The matching events.
    pub frames: Vec<Frame>,
    /// The reader has now seen all matching events up to this sequence.
    pub cursor: u64,
}

/// The next event of the reader may be older than the ring, which starts at this sequence.
#[derive(Debug, PartialEq, Eq)]
pub struct TooOld(pub u64);

impl Feed {
    /// An empty ring whose first message will have at least the sequence `start`.
    pub fn starting_at(start: u64) -> Self {
        Self::bounded(start, MAX_FRAMES, MAX_BYTES)
    }

    fn bounded(start: u64, max_frames: usize, max_bytes: usize) -> Self {
        let ring = Ring { frames: VecDeque::new(), n_bytes: 0, start, max_frames, max_bytes };
        Self { ring: RwLock::new(ring), head: watch::Sender::new(start.saturating_sub(1)) }
    }

    /// Adds the message at `sequence` and wakes the readers. `frame` is `None` if the message is not an event.
    pub fn push(&self, sequence: u64, frame: Option<Frame>) {
        if let Some(frame) = frame {
            self.ring.write().unwrap_or_else(PoisonError::into_inner).push(frame);
        }
        self.head.send_replace(sequence);
    }

    /// Sequence of the newest message that was pushed.
    pub fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// A receiver of the head, to wait for new events.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Whether a reader at `cursor` can continue from memory.
    pub fn covers(&self, cursor: u64) -> bool {
        let head = self.head();
        let start = self.ring.read().unwrap_or_else(PoisonError::into_inner).start;
        cursor <= head && cursor + 1 >= start
    }

    /// Returns the next matching events after `cursor`.
    pub fn read(&self, cursor: u64, filter: &Filter, limits: ReadLimits) -> Result<Batch, TooOld> {
        // The head is read before the ring, so that the ring contains every event up to it.
        let head = self.head();
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        if cursor + 1 < ring.start {
            return Err(TooOld(ring.start));
        }
        Ok(ring.read(cursor, head, filter, limits))
    }
}

impl Ring {
    fn push(&mut self, frame: Frame) {
        if frame.event_type == Some(EventType::UserErased) {
            self.remove_all(frame.entity);
        }
        self.n_bytes += frame.bytes().len();
        self.frames.push_back(frame);
        while self.frames.len() > self.max_frames || self.n_bytes > self.max_bytes {
            let Some(oldest) = self.frames.pop_front() else { return };
            self.n_bytes -= oldest.bytes().len();
            self.start = oldest.sequence + 1;
        }
    }

    /// An erasure deletes these events from the log next; they must not be readable here.
    fn remove_all(&mut self, entity: Entity) {
        self.frames.retain(|frame| frame.entity != entity);
        self.n_bytes = self.frames.iter().map(|frame| frame.bytes().len()).sum();
    }

    fn read(&self, cursor: u64, head: u64, filter: &Filter, limits: ReadLimits) -> Batch {
        let start = self.frames.partition_point(|frame| frame.sequence <= cursor);
        let mut batch = Batch { frames: vec![], cursor };
        let mut n_bytes = 0;
        for (n_scanned, frame) in self.frames.range(start..).enumerate() {
            if n_scanned == MAX_SCANNED || frame.sequence > head {
                return batch;
            }
            if filter.matches(frame) {
                n_bytes += frame.bytes().len();
                let is_full = batch.frames.len() >= limits.n_frames || n_bytes > limits.n_bytes;
                if is_full && !batch.frames.is_empty() {
                    return batch;
                }
                batch.frames.push(frame.clone());
            }
            batch.cursor = frame.sequence;
        }
        // Sequences without a frame up to the head were erased, or are not events.
        batch.cursor = batch.cursor.max(head);
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::frame::frame;

    const WIDE: ReadLimits = ReadLimits { n_frames: 100, n_bytes: 1 << 20 };

    fn push(feed: &Feed, sequence: u64, pk: i64) {
        feed.push(sequence, frame(sequence, &format!("user.{pk}.user-updated"), "{}"));
    }

    fn sequences(batch: &Batch) -> Vec<u64> {
        batch.frames.iter().map(|frame| frame.sequence).collect()
    }

    fn of_user(pk: i64) -> Filter {
        Filter { entity: Some(Entity::User(pk)), types: vec![] }
    }

    #[test]
    fn a_reader_gets_exactly_the_events_after_its_cursor() {
        let feed = Feed::starting_at(1);
        (1..=3).for_each(|sequence| push(&feed, sequence, 1));
        let batch = feed.read(1, &Filter::default(), WIDE).unwrap();
        assert_eq!((sequences(&batch), batch.cursor), (vec![2, 3], 3));
        let batch = feed.read(3, &Filter::default(), WIDE).unwrap();
        assert_eq!((sequences(&batch), batch.cursor), (vec![], 3));
    }

    #[test]
    fn a_full_batch_ends_before_the_event_that_does_not_fit() {
        let feed = Feed::starting_at(1);
        (1..=5).for_each(|sequence| push(&feed, sequence, 1));
        let batch = feed.read(0, &Filter::default(), ReadLimits { n_frames: 2, ..WIDE }).unwrap();
        assert_eq!((sequences(&batch), batch.cursor), (vec![1, 2], 2));
        // A single event is returned even if it exceeds the limit.
        let batch = feed.read(2, &Filter::default(), ReadLimits { n_bytes: 1, ..WIDE }).unwrap();
        assert_eq!((sequences(&batch), batch.cursor), (vec![3], 3));
    }

    #[test]
    fn the_cursor_moves_past_filtered_and_erased_events_and_other_messages() {
        let feed = Feed::starting_at(1);
        push(&feed, 1, 7);
        push(&feed, 4, 8);
        feed.push(6, None);
        let batch = feed.read(0, &of_user(7), WIDE).unwrap();
        assert_eq!((sequences(&batch), batch.cursor), (vec![1], 6));
    }

    #[test]
    fn a_reader_behind_the_ring_gets_the_start_of_the_ring() {
        let feed = Feed::bounded(1, 2, MAX_BYTES);
        (1..=5).for_each(|sequence| push(&feed, sequence, 1));
        assert_eq!(feed.read(2, &Filter::default(), WIDE), Err(TooOld(4)));
        assert_eq!(sequences(&feed.read(3, &Filter::default(), WIDE).unwrap()), [4, 5]);
        assert!(feed.covers(3) && !feed.covers(2) && !feed.covers(6));
    }

    #[test]
    fn the_ring_keeps_only_events_after_the_erasure_of_an_erased_user() {
        let feed = Feed::starting_at(1);
        push(&feed, 1, 7);
        push(&feed, 2, 8);
        push(&feed, 3, 7);
        feed.push(4, frame(4, "user.7.user-erased", "{}"));
        push(&feed, 5, 7);
        let batch = feed.read(0, &Filter::default(), WIDE).unwrap();
        assert_eq!((sequences(&batch), batch.cursor), (vec![2, 4, 5], 5));
        let batch = feed.read(0, &of_user(7), WIDE).unwrap();
        assert_eq!((sequences(&batch), batch.cursor), (vec![4, 5], 5));
    }

    #[test]
    fn erased_events_free_their_space() {
        let one = frame(1, "user.1.user-updated", "{}").unwrap().bytes().len();
        let feed = Feed::bounded(1, 100, 3 * one);
        (1..=2).for_each(|sequence| push(&feed, sequence, 1));
        feed.push(3, frame(3, "user.1.user-erased", "{}"));
        (4..=5).for_each(|sequence| push(&feed, sequence, 1));
        assert_eq!(sequences(&feed.read(0, &Filter::default(), WIDE).unwrap()), [3, 4, 5]);
    }

    #[test]
    fn the_ring_is_bounded_by_bytes() {
        let one = frame(1, "user.1.user-updated", "{}").unwrap().bytes().len();
        let feed = Feed::bounded(1, 100, 2 * one);
        (1..=5).for_each(|sequence| push(&feed, sequence, 1));
        assert_eq!(feed.read(0, &Filter::default(), WIDE), Err(TooOld(4)));
    }
}
