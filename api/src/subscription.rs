//! One client's connection to the live feed. The connection pulls chunks, so a slow client only slows itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use runtime::clock;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::feed::{Filter, Frame, ReadLimits, Reader};
use crate::state::live::LiveState;
use crate::state::people::Rights;
use crate::token::Claims;

/// Time without data after which a comment is sent: proxies close idle connections.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Minimum time between two `progress` events, which move the client's cursor past filtered events.
const PROGRESS: Duration = Duration::from_secs(1);

/// Limits of one chunk.
const CHUNK: ReadLimits = ReadLimits { n_frames: 1_024, n_bytes: 256 * 1024 };

/// Sent first, so that the headers go out at once and the client knows its reconnection delay in milliseconds.
const PREAMBLE: &str = "retry: 2000\n: connected\n\n";

/// One client's position in the feed.
pub struct Subscription {
    live: Arc<LiveState>,
    claims: Arc<Claims>,
    was_admin: bool,
    requested: Filter,
    /// The requested filter, narrowed to the client's rights; `None` while the client is not recorded.
    allowed: Option<Filter>,
    reader: Reader,
    head: watch::Receiver<u64>,
    rights_changes: watch::Receiver<u64>,
    has_sent_preamble: bool,
    must_check_rights: bool,
    /// The last cursor that was sent to the client.
    sent_cursor: u64,
    cursor_sent_at: Instant,
    data_sent_at: Instant,
    _open: OpenStream,
}

/// The next data for the client, and whether the stream ends after it.
struct Chunk {
    bytes: Bytes,
    is_last: bool,
}

impl Subscription {
    /// Starts after the sequence `cursor`.
    pub fn new(caller: Caller, requested: Filter, cursor: u64) -> Self {
        let Caller { live, claims, rights } = caller;
        Self {
            claims,
            was_admin: rights.is_admin,
            requested,
            allowed: None,
            reader: Reader { cursor },
            head: live.subscribe_head(),
            rights_changes: live.subscribe_rights(),
            has_sent_preamble: false,
            // The rights may have changed since the request was authenticated.
            must_check_rights: true,
            sent_cursor: cursor,
            cursor_sent_at: Instant::now(),
            data_sent_at: Instant::now(),
            _open: OpenStream::new(),
            live,
        }
    }

    /// The server-sent events, in chunks of complete events.
    pub fn into_chunks(self) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::unfold(Some(self), |subscription| async {
            let mut subscription = subscription?;
            let chunk = subscription.next().await;
            subscription.data_sent_at = Instant::now();
            let rest = (!chunk.is_last).then_some(subscription);
            Some((chunk.bytes, rest))
        })
    }

    async fn next(&mut self) -> Chunk {
        if !self.has_sent_preamble {
            self.has_sent_preamble = true;
            return more(PREAMBLE);
        }
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            // Marked as seen before reading, so that a newer event ends the wait below.
            let head = *self.head.borrow_and_update();
            match self.read().await {
                Ok(frames) if !frames.is_empty() => return self.encode(&frames),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("ending a stream: cannot read events: {error:#}");
                    return end_with_retry();
                }
            }
            if self.is_progress_due() {
                self.sent_cursor = self.reader.cursor;
                self.cursor_sent_at = Instant::now();
                let cursor = self.live.cursor(self.sent_cursor);
                return more(format!("id: {cursor}\nevent: progress\ndata: {{}}\n\n"));
            }
            if self.allowed.is_some() && self.reader.cursor < head {
                continue;
            }
            self.wait().await;
            if self.data_sent_at.elapsed() >= HEARTBEAT {
                return more(": heartbeat\n\n");
            }
        }
    }

    async fn read(&mut self) -> anyhow::Result<Vec<Frame>> {
        let Some(filter) = &self.allowed else { return Ok(vec![]) };
        self.live.read_events(&mut self.reader, filter, CHUNK).await
    }

    fn encode(&mut self, frames: &[Frame]) -> Chunk {
        self.sent_cursor = frames.last().map_or(self.sent_cursor, |frame| frame.sequence);
        self.cursor_sent_at = Instant::now();
        if let [only] = frames {
            return more(only.bytes().clone());
        }
        let mut bytes = BytesMut::with_capacity(frames.iter().map(|frame| frame.bytes().len()).sum());
        for frame in frames {
            bytes.extend_from_slice(frame.bytes());
        }
        more(bytes.freeze())
    }

    fn is_progress_due(&self) -> bool {
        self.reader.cursor > self.sent_cursor && self.cursor_sent_at.elapsed() >= PROGRESS
    }

    /// The last chunk, if the stream must end now.
    fn end(&mut self) -> Option<Chunk> {
        if self.live.shutdown().is_cancelled() || self.live.is_stale() {
            return Some(end_with_retry());
        }
        if clock::now().unix_seconds() >= self.claims.exp {
            return Some(last("event: token-expired\ndata: {}\n\n"));
        }
        if self.must_check_rights || self.rights_changes.has_changed().unwrap_or(true) {
            self.rights_changes.mark_unchanged();
            self.must_check_rights = false;
            if let Err(reason) = self.check_rights() {
                let data = serde_json::json!({ "reason": reason });
                return Some(last(format!("event: revoked\ndata: {data}\n\n")));
            }
        }
        None
    }

    /// Updates the allowed filter. An error is the reason why the client has fewer rights than at the start.
    fn check_rights(&mut self) -> Result<(), &'static str> {
        let rights = self.live.rights(&self.claims).map_err(|revoked| revoked.0)?;
        if self.was_admin && !rights.is_admin {
            return Err("the user is no longer an admin");
        }
        // A new admin gets no admin rights on this stream, because it already skipped events.
        let rights = Rights { is_admin: self.was_admin, ..rights };
        let allowed =
            rights.narrow(self.requested.clone()).map_err(|_| "the user may not read these events")?;
        if let Some(allowed) = &allowed {
            self.reader.cursor = self.reader.cursor.max(allowed.after);
        }
        self.allowed = allowed.map(|allowed| allowed.filter);
        Ok(())
    }

    /// Waits until there may be something to send.
    async fn wait(&mut self) {
        let left = u64::try_from(self.claims.exp - clock::now().unix_seconds()).unwrap_or_default();
        let mut until =
            (self.data_sent_at + HEARTBEAT).min(Instant::now() + Duration::from_secs(left.min(3600)));
        if self.reader.cursor > self.sent_cursor {
            until = until.min(self.cursor_sent_at + PROGRESS);
        }
        tokio::select! {
            _ = self.head.changed(), if self.allowed.is_some() => {}
            _ = self.rights_changes.changed() => self.must_check_rights = true,
            () = self.live.shutdown().cancelled() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

fn more(bytes: impl Into<Bytes>) -> Chunk {
    Chunk { bytes: bytes.into(), is_last: false }
}

fn last(bytes: impl Into<Bytes>) -> Chunk {
    Chunk { bytes: bytes.into(), is_last: true }
}

/// Ends the stream, and has the client reconnect after one to five seconds, so that clients do not return all at once.
fn end_with_retry() -> Chunk {
    let retry = 1_000 + clock::new_id().as_u128() % 4_000;
    last(format!("retry: {retry}\n\n"))
}

/// Counts the open streams.
struct OpenStream;

impl OpenStream {
    fn new() -> Self {
        metrics::gauge!("api_streams").increment(1.0);
        Self
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        metrics::gauge!("api_streams").decrement(1.0);
    }
}
