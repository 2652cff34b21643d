//! Reads events in order: from the stream until the ring covers the cursor, then from the ring.

use store::log::{EventLog, ReadFrom};

use super::filter::Filter;
use super::frame::Frame;
use super::ring::{Feed, ReadLimits, TooOld};

/// Maximum number of messages in one request to the stream.
const PAGE: usize = 256;

/// A position in the log that only moves forward.
#[derive(Debug)]
pub struct Reader {
    /// All matching events up to this sequence were returned.
    pub cursor: u64,
}

impl Reader {
    /// Returns the next matching events that exist. The result can be empty even though the cursor moved.
    pub async fn next(
        &mut self,
        feed: &Feed,
        log: &EventLog,
        filter: &Filter,
        limits: ReadLimits,
    ) -> anyhow::Result<Vec<Frame>> {
        match feed.read(self.cursor, filter, limits) {
            Ok(batch) => {
                self.cursor = batch.cursor;
                Ok(batch.frames)
            }
            Err(TooOld(ring_start)) => self.read_stream(log, filter, limits, ring_start).await,
        }
    }

    async fn read_stream(
        &mut self,
        log: &EventLog,
        filter: &Filter,
        limits: ReadLimits,
        ring_start: u64,
    ) -> anyhow::Result<Vec<Frame>> {
        let from = ReadFrom::Sequence(self.cursor + 1);
        let subject = filter.subject(log.namespace());
        let page = log.page(&subject, from, limits.n_frames.min(PAGE)).await?;
        let mut frames = vec![];
        if page.is_empty() {
            // No event on these subjects lies between the cursor and the ring.
            self.cursor = ring_start - 1;
        }
        for message in page {
            if message.sequence >= ring_start {
                self.cursor = ring_start - 1;
                break;
            }
            self.cursor = message.sequence;
            let frame = Frame::of(&message, log.namespace(), log.epoch());
            frames.extend(frame.filter(|frame| filter.matches(frame)));
        }
        Ok(frames)
    }
}
