//! Reading events in order, from the stream as long as the ring does not reach back far enough.

use store::log::{EventLog, ReadFrom};

use super::ring::TooOld;
use super::{Feed, Filter, Frame};

/// How many messages are asked of the stream at once.
const PAGE: usize = 256;

/// How much a reader takes at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events.
    pub n_frames: usize,
    /// Bytes, if it is more than one event.
    pub n_bytes: usize,
}

/// A place in the log, moving forward.
#[derive(Debug)]
pub struct Reader {
    /// Everything that passes up to this sequence was handed out.
    pub cursor: u64,
}

impl Reader {
    /// The next events that pass, as far as they are there: possibly none, though the cursor moved.
    pub async fn next(
        &mut self,
        feed: &Feed,
        log: &EventLog,
        filter: &Filter,
        limits: Limits,
    ) -> anyhow::Result<Vec<Frame>> {
        match feed.read(self.cursor, filter, limits) {
            Ok(due) => {
                self.cursor = due.cursor;
                Ok(due.frames)
            }
            Err(TooOld(ring_from)) => self.page(log, filter, limits, ring_from).await,
        }
    }

    async fn page(
        &mut self,
        log: &EventLog,
        filter: &Filter,
        limits: Limits,
        ring_from: u64,
    ) -> anyhow::Result<Vec<Frame>> {
        let from = ReadFrom::Sequence(self.cursor + 1);
        let subject = filter.subject(log.namespace());
        let page = log.page(&subject, from, limits.n_frames.min(PAGE)).await?;
        let mut frames = vec![];
        if page.is_empty() {
            // Nothing on these subjects between here and the ring.
            self.cursor = ring_from - 1;
        }
        for message in page {
            if message.sequence >= ring_from {
                self.cursor = ring_from - 1;
                break;
            }
            self.cursor = message.sequence;
            let frame = Frame::of(&message, log.namespace(), log.epoch());
            frames.extend(frame.filter(|frame| filter.matches(frame)));
        }
        Ok(frames)
    }
}
