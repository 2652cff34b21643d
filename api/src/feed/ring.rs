//! The newest events in memory.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use domain::event::EventType;
use domain::key::Entity;
use tokio::sync::watch;

use super::reader::Limits;
use super::{Filter, Frame};

/// How many events the ring keeps at most.
const MAX_FRAMES: usize = 16_384;

/// How many bytes the ring keeps at most.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// How many events are looked at under the lock at once.
const MAX_SCANNED: usize = 4_096;

/// The ring, and the sequence up to which it was filled. A slow reader costs nothing: it reads on where it was.
pub struct Feed {
    ring: RwLock<Ring>,
    head: watch::Sender<u64>,
}

struct Ring {
    frames: VecDeque<Frame>,
    n_bytes: usize,
    /// Everything from this sequence on is in the ring.
    from: u64,
    max_frames: usize,
    max_bytes: usize,
}

/// What a reader gets from the ring.
#[derive(Debug, PartialEq, Eq)]
pub struct Due {
    /// The events that pass.
    pub frames: Vec<Frame>,
    /// Up to where the reader has seen everything now.
    pub cursor: u64,
}

/// What the reader wants next is no longer in the ring, which begins at this sequence.
#[derive(Debug, PartialEq, Eq)]
pub struct TooOld(pub u64);

impl Feed {
    /// A ring that will be filled from the given sequence on.
    pub fn starting_at(from: u64) -> Self {
        Self::bounded(from, MAX_FRAMES, MAX_BYTES)
    }

    fn bounded(from: u64, max_frames: usize, max_bytes: usize) -> Self {
        let ring = Ring { frames: VecDeque::new(), n_bytes: 0, from, max_frames, max_bytes };
        Self { ring: RwLock::new(ring), head: watch::Sender::new(from.saturating_sub(1)) }
    }

    /// Adds what stands at `sequence`: nothing where that is not an event. The readers wake up.
    pub fn push(&self, sequence: u64, frame: Option<Frame>) {
        if let Some(frame) = frame {
            self.ring.write().unwrap_or_else(PoisonError::into_inner).push(frame);
        }
        self.head.send_replace(sequence);
    }

    /// Sequence up to which everything was seen.
    pub fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// To wait on for more.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Whether a reader that has seen everything up to `cursor` can read on from memory.
    pub fn covers(&self, cursor: u64) -> bool {
        let head = self.head();
        let from = self.ring.read().unwrap_or_else(PoisonError::into_inner).from;
        cursor <= head && cursor + 1 >= from
    }

    /// What is due to a reader that has seen everything up to `cursor`.
    pub fn read(&self, cursor: u64, filter: &Filter, limits: Limits) -> Result<Due, TooOld> {
        // Before the ring: what is at or before the head now is in the ring that is read after it.
        let head = self.head();
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        if cursor + 1 < ring.from {
            return Err(TooOld(ring.from));
        }
        Ok(ring.read(cursor, head, filter, limits))
    }
}

impl Ring {
    fn push(&mut self, frame: Frame) {
        if frame.event_type == Some(EventType::UserErased) {
            self.forget(frame.entity);
        }
        self.n_bytes += frame.bytes().len();
        self.frames.push_back(frame);
        while self.frames.len() > self.max_frames || self.n_bytes > self.max_bytes {
            let Some(oldest) = self.frames.pop_front() else { return };
            self.n_bytes -= oldest.bytes().len();
            self.from = oldest.sequence + 1;
        }
    }

    /// What the log erases next must not be read here either.
    fn forget(&mut self, entity: Entity) {
        self.frames.retain(|frame| frame.entity != entity);
        self.n_bytes = self.frames.iter().map(|frame| frame.bytes().len()).sum();
    }

    fn read(&self, cursor: u64, head: u64, filter: &Filter, limits: Limits) -> Due {
        let start = self.frames.partition_point(|frame| frame.sequence <= cursor);
        let mut due = Due { frames: vec![], cursor };
        let mut n_bytes = 0;
        for (n_scanned, frame) in self.frames.range(start..).enumerate() {
            if n_scanned == MAX_SCANNED || frame.sequence > head {
                return due;
            }
            if filter.matches(frame) {
                n_bytes += frame.bytes().len();
                let is_full = due.frames.len() >= limits.n_frames || n_bytes > limits.n_bytes;
                if is_full && !due.frames.is_empty() {
                    return due;
                }
                due.frames.push(frame.clone());
            }
            due.cursor = frame.sequence;
        }
        // What is missing up to the head was erased, or is no event.
        due.cursor = due.cursor.max(head);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::frame;
    use super::*;

    const WIDE: Limits = Limits { n_frames: 100, n_bytes: 1 << 20 };

    fn push(feed: &Feed, sequence: u64, pk: i64) {
        feed.push(sequence, frame(sequence, &format!("user.{pk}.user-updated"), "{}"));
    }

    fn sequences(due: &Due) -> Vec<u64> {
        due.frames.iter().map(|frame| frame.sequence).collect()
    }

    fn of_user(pk: i64) -> Filter {
        Filter { entity: Some(Entity::User(pk)), types: vec![] }
    }

    #[test]
    fn a_reader_gets_what_it_has_not_seen_and_no_more() {
        let feed = Feed::starting_at(1);
        (1..=3).for_each(|sequence| push(&feed, sequence, 1));
        let due = feed.read(1, &Filter::default(), WIDE).unwrap();
        assert_eq!((sequences(&due), due.cursor), (vec![2, 3], 3));
        let due = feed.read(3, &Filter::default(), WIDE).unwrap();
        assert_eq!((sequences(&due), due.cursor), (vec![], 3));
    }

    #[test]
    fn a_full_piece_ends_before_the_event_that_does_not_fit() {
        let feed = Feed::starting_at(1);
        (1..=5).for_each(|sequence| push(&feed, sequence, 1));
        let due = feed.read(0, &Filter::default(), Limits { n_frames: 2, ..WIDE }).unwrap();
        assert_eq!((sequences(&due), due.cursor), (vec![1, 2], 2));
        // One event goes even where it is larger than a piece.
        let due = feed.read(2, &Filter::default(), Limits { n_bytes: 1, ..WIDE }).unwrap();
        assert_eq!((sequences(&due), due.cursor), (vec![3], 3));
    }

    #[test]
    fn the_cursor_moves_past_what_is_filtered_erased_or_no_event() {
        let feed = Feed::starting_at(1);
        push(&feed, 1, 7);
        push(&feed, 4, 8);
        feed.push(6, None);
        let due = feed.read(0, &of_user(7), WIDE).unwrap();
        assert_eq!((sequences(&due), due.cursor), (vec![1], 6));
    }

    #[test]
    fn a_reader_behind_the_ring_is_told_where_it_begins() {
        let feed = Feed::bounded(1, 2, MAX_BYTES);
        (1..=5).for_each(|sequence| push(&feed, sequence, 1));
        assert_eq!(feed.read(2, &Filter::default(), WIDE), Err(TooOld(4)));
        assert_eq!(sequences(&feed.read(3, &Filter::default(), WIDE).unwrap()), [4, 5]);
        assert!(feed.covers(3) && !feed.covers(2) && !feed.covers(6));
    }

    #[test]
    fn of_an_erased_user_the_ring_gives_what_came_since_alone() {
        let feed = Feed::starting_at(1);
        push(&feed, 1, 7);
        push(&feed, 2, 8);
        push(&feed, 3, 7);
        feed.push(4, frame(4, "user.7.user-erased", "{}"));
        push(&feed, 5, 7);
        let due = feed.read(0, &Filter::default(), WIDE).unwrap();
        assert_eq!((sequences(&due), due.cursor), (vec![2, 4, 5], 5));
        let due = feed.read(0, &of_user(7), WIDE).unwrap();
        assert_eq!((sequences(&due), due.cursor), (vec![4, 5], 5));
    }

    #[test]
    fn what_was_erased_makes_room() {
        let one = frame(1, "user.1.user-updated", "{}").unwrap().bytes().len();
        let feed = Feed::bounded(1, 100, 3 * one);
        (1..=2).for_each(|sequence| push(&feed, sequence, 1));
        feed.push(3, frame(3, "user.1.user-erased", "{}"));
        (4..=5).for_each(|sequence| push(&feed, sequence, 1));
        assert_eq!(sequences(&feed.read(0, &Filter::default(), WIDE).unwrap()), [3, 4, 5]);
    }

    #[test]
    fn the_ring_is_bounded_by_bytes_too() {
        let one = frame(1, "user.1.user-updated", "{}").unwrap().bytes().len();
        let feed = Feed::bounded(1, 100, 2 * one);
        (1..=5).for_each(|sequence| push(&feed, sequence, 1));
        assert_eq!(feed.read(0, &Filter::default(), WIDE), Err(TooOld(4)));
    }
}
