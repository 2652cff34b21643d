//! Following the log of events, whatever happens to the connection and to the servers.

use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::pull;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::log::{EventLog, StoredMessage};

/// After so long without a message the leader is asked whether there is one, and a consumer that did not give it is
/// given up.
const QUIET: Duration = Duration::from_secs(2);

/// See [`EventLog::follow`].
pub struct Follow {
    log: EventLog,
    next: u64,
    messages: Option<pull::Ordered>,
    connects: watch::Receiver<u64>,
    quiet: Duration,
    /// When the leader was asked last, or needed no asking.
    asked: Instant,
    /// When the consumer last gave a message, or was made.
    moved: Instant,
    up_to_date: watch::Sender<Instant>,
}

impl Follow {
    pub(crate) fn new(log: EventLog, connects: watch::Receiver<u64>, from: u64) -> Self {
        let begin = Instant::now();
        Self {
            log,
            next: from.max(1),
            messages: None,
            connects,
            quiet: QUIET,
            asked: begin,
            moved: begin,
            up_to_date: watch::Sender::new(begin),
        }
    }

    /// Asks the leader after so long without a message, instead of after a few seconds.
    #[must_use]
    pub fn asking_after(self, quiet: Duration) -> Self {
        Self { quiet, ..self }
    }

    /// When a message came, or the leader said that there is none.
    pub fn up_to_date(&self) -> watch::Receiver<Instant> {
        self.up_to_date.subscribe()
    }

    /// The next message. Cancel safe. An error says why the log cannot be read now: wait, and ask again.
    pub async fn next(&mut self) -> anyhow::Result<StoredMessage> {
        loop {
            if self.messages.is_none() {
                self.messages = Some(self.log.ordered(self.next).await?);
                self.moved = Instant::now();
            }
            let Some(messages) = &mut self.messages else { continue };
            let next = tokio::select! {
                next = messages.next() => next,
                Ok(()) = self.connects.changed() => None,
                () = sleep_until(self.asked + self.quiet) => {
                    self.ask().await?;
                    continue;
                }
            };
            match next {
                Some(Ok(message)) => {
                    let info = message
                        .info()
                        .map_err(|error| anyhow::anyhow!("a message without its place: {error}"))?;
                    if info.stream_sequence < self.next {
                        continue;
                    }
                    self.next = info.stream_sequence + 1;
                    self.moved = Instant::now();
                    self.asked = self.moved;
                    self.up_to_date.send_replace(self.moved);
                    return Ok(StoredMessage {
                        sequence: info.stream_sequence,
                        stored: info.published.into(),
                        subject: message.subject.to_string(),
                        payload: message.payload.clone(),
                    });
                }
                Some(Err(error)) => {
                    self.messages = None;
                    return Err(error).context("reading the events");
                }
                None => self.messages = None,
            }
        }
    }

    /// The consumer lives on one node. When that node dies, or the server hangs, its silence looks like that of a log
    /// to which nothing is appended.
    async fn ask(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let head = self.log.head().await?;
        self.asked = Instant::now();
        if head < self.next {
            self.up_to_date.send_replace(begin);
        } else if self.moved.elapsed() > QUIET {
            self.messages = None;
        }
        Ok(())
    }
}
