//! The feed as server-sent events: pulled by the connection, so that a slow reader only pulls slowly.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use poem::Body;
use runtime::clock;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Filter, Frame, Limits, Reader};
use crate::caller::{Caller, narrow};
use crate::live::Live;
use crate::people::Rights;
use crate::token::Claims;

/// A comment goes out so often where nothing else does: proxies close connections that seem dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Events that were filtered move the client's cursor at most so often.
const PROGRESS: Duration = Duration::from_secs(1);

/// What is sent in one piece.
const PIECE: Limits = Limits { n_frames: 1_024, n_bytes: 256 * 1024 };

/// Written at once, so that the headers go out and the client knows how soon to come back.
const GREETING: &str = "retry: 2000\n: connected\n\n";

/// One client's place in the feed.
pub struct Subscription {
    live: Arc<Live>,
    claims: Arc<Claims>,
    was_admin: bool,
    wanted: Filter,
    /// What the client may see of that; nothing as long as nobody recorded them.
    allowed: Option<Filter>,
    reader: Reader,
    head: watch::Receiver<u64>,
    changes: watch::Receiver<u64>,
    is_greeted: bool,
    must_reassess: bool,
    /// The cursor that the client has.
    told: u64,
    told_at: Instant,
    written_at: Instant,
    _open: OpenStream,
}

/// What goes out next, and whether the stream goes on after it.
struct Piece {
    bytes: Bytes,
    is_last: bool,
}

impl Subscription {
    /// Begins after the given sequence.
    pub fn new(caller: Caller, wanted: Filter, cursor: u64) -> Self {
        let Caller { live, claims, rights } = caller;
        Self {
            claims,
            was_admin: rights.is_admin,
            wanted,
            allowed: None,
            reader: Reader { cursor },
            head: live.feed.subscribe(),
            changes: live.people.subscribe(),
            is_greeted: false,
            // The rights may have changed since the request was let in.
            must_reassess: true,
            told: cursor,
            told_at: Instant::now(),
            written_at: Instant::now(),
            _open: OpenStream::new(),
            live,
        }
    }

    /// The body of the answer.
    pub fn into_body(self) -> Body {
        Body::from_bytes_stream(stream::unfold(Some(self), |subscription| async {
            let mut subscription = subscription?;
            let piece = subscription.next().await;
            subscription.written_at = Instant::now();
            let rest = (!piece.is_last).then_some(subscription);
            Some((Ok::<_, io::Error>(piece.bytes), rest))
        }))
    }

    async fn next(&mut self) -> Piece {
        if !self.is_greeted {
            self.is_greeted = true;
            return more(GREETING);
        }
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            // Before reading: what comes after this wakes the wait below.
            let head = *self.head.borrow_and_update();
            match self.read().await {
                Ok(frames) if !frames.is_empty() => return self.framed(&frames),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("a stream ends: cannot read the events: {error:#}");
                    return farewell();
                }
            }
            if self.is_progress_due() {
                self.told = self.reader.cursor;
                self.told_at = Instant::now();
                let cursor = self.live.cursor(self.told);
                return more(format!("id: {cursor}\nevent: progress\ndata: {{}}\n\n"));
            }
            if self.allowed.is_some() && self.reader.cursor < head {
                continue;
            }
            self.wait().await;
            if self.written_at.elapsed() >= HEARTBEAT {
                return more(": heartbeat\n\n");
            }
        }
    }

    async fn read(&mut self) -> anyhow::Result<Vec<Frame>> {
        let Some(filter) = &self.allowed else { return Ok(vec![]) };
        self.reader.next(&self.live.feed, &self.live.log, filter, PIECE).await
    }

    fn framed(&mut self, frames: &[Frame]) -> Piece {
        self.told = frames.last().map_or(self.told, |frame| frame.sequence);
        self.told_at = Instant::now();
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
        self.reader.cursor > self.told && self.told_at.elapsed() >= PROGRESS
    }

    /// The last piece, where the stream must end now.
    fn end(&mut self) -> Option<Piece> {
        if self.live.shutdown.is_cancelled() || self.live.is_stale() {
            return Some(farewell());
        }
        if clock::now().unix_seconds() >= self.claims.exp {
            return Some(last("event: token-expired\ndata: {}\n\n"));
        }
        if self.must_reassess || self.changes.has_changed().unwrap_or(true) {
            self.changes.mark_unchanged();
            self.must_reassess = false;
            if let Err(reason) = self.reassess() {
                let data = serde_json::json!({ "reason": reason });
                return Some(last(format!("event: revoked\ndata: {data}\n\n")));
            }
        }
        None
    }

    /// Looks again at what the client may see. An error is why that is less than when the stream began.
    fn reassess(&mut self) -> Result<(), &'static str> {
        let rights = self.live.people.rights(&self.live.users.get(), &self.claims);
        let rights = rights.map_err(|revoked| revoked.0)?;
        if self.was_admin && !rights.is_admin {
            return Err("the user is no longer an admin");
        }
        // A stream that began without the rights of an admin has passed over events already.
        let rights = Rights { is_admin: self.was_admin, ..rights };
        let allowed = narrow(&rights, self.wanted.clone()).map_err(|_| "the user may not read this")?;
        if let Some((_, since)) = &allowed {
            self.reader.cursor = self.reader.cursor.max(*since);
        }
        self.allowed = allowed.map(|(filter, _)| filter);
        Ok(())
    }

    /// Until there may be something to do.
    async fn wait(&mut self) {
        let left = u64::try_from(self.claims.exp - clock::now().unix_seconds()).unwrap_or_default();
        let mut until =
            (self.written_at + HEARTBEAT).min(Instant::now() + Duration::from_secs(left.min(3600)));
        if self.reader.cursor > self.told {
            until = until.min(self.told_at + PROGRESS);
        }
        tokio::select! {
            _ = self.head.changed(), if self.allowed.is_some() => {}
            _ = self.changes.changed() => self.must_reassess = true,
            () = self.live.shutdown.cancelled() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

fn more(bytes: impl Into<Bytes>) -> Piece {
    Piece { bytes: bytes.into(), is_last: false }
}

fn last(bytes: impl Into<Bytes>) -> Piece {
    Piece { bytes: bytes.into(), is_last: true }
}

/// Sends the client away for one to five seconds, so that not all come back at once.
fn farewell() -> Piece {
    let retry = 1_000 + clock::new_id().as_u128() % 4_000;
    last(format!("retry: {retry}\n\n"))
}

/// Counts a stream as long as it is open.
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
