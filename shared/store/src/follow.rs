//! Following the event log across reconnects, restarts and failed nodes.

use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::consumer::pull;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::log::{EventLog, StoredMessage};

/// After this time without a message, ask the leader for its newest one, and replace a consumer that missed it.
const QUIET: Duration = Duration::from_secs(2);

impl EventLog {
    /// Follows the log from sequence `from` on. Never ends; an error of [`Follow::next`] only means "not now".
    pub fn follow(&self, from: u64) -> Follow {
        Follow::new(self.clone(), from)
    }
}

/// An endless read of the event log, made by [`EventLog::follow`].
pub struct Follow {
    log: EventLog,
    next: u64,
    messages: Option<pull::Ordered>,
    connects: watch::Receiver<u64>,
    quiet: Duration,
    /// Time of the last message or of the last answer of the leader.
    checked: Instant,
    /// Time of the consumer's last message, or of its creation.
    received: Instant,
    up_to_date: watch::Sender<Instant>,
}

impl Follow {
    fn new(log: EventLog, from: u64) -> Self {
        let begin = Instant::now();
        Self {
            next: from.max(1),
            messages: None,
            connects: log.nats.connects(),
            quiet: QUIET,
            checked: begin,
            received: begin,
            up_to_date: watch::Sender::new(begin),
            log,
        }
    }

    /// Asks the leader after this time without a message, instead of after 2 seconds.
    #[must_use]
    pub fn checking_leader_after(self, quiet: Duration) -> Self {
        Self { quiet, ..self }
    }

    /// The last time at which a message arrived or the leader confirmed that there is no newer one.
    pub fn up_to_date(&self) -> watch::Receiver<Instant> {
        self.up_to_date.subscribe()
    }

    /// The next message, in order and without gaps. Cancel safe.
    ///
    /// An error says why the log cannot be read now. Wait, then call it again.
    pub async fn next(&mut self) -> anyhow::Result<StoredMessage> {
        loop {
            if self.messages.is_none() {
                self.messages = Some(self.log.ordered(self.next).await?);
                self.received = Instant::now();
            }
            let Some(messages) = &mut self.messages else { continue };
            let next = tokio::select! {
                next = messages.next() => next,
                Ok(()) = self.connects.changed() => None,
                () = sleep_until(self.checked + self.quiet) => {
                    self.check_leader().await?;
                    continue;
                }
            };
            match next {
                Some(Ok(message)) => {
                    let info = message
                        .info()
                        .map_err(|error| anyhow::anyhow!("a message without a sequence: {error}"))?;
                    if info.stream_sequence < self.next {
                        continue;
                    }
                    self.next = info.stream_sequence + 1;
                    self.received = Instant::now();
                    self.checked = self.received;
                    self.up_to_date.send_replace(self.received);
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

    /// Asks the leader whether there is a message that the consumer has not delivered.
    ///
    /// The consumer lives on one node. If that node died or hangs, the consumer is as silent as if nothing were appended.
    async fn check_leader(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        let head = self.log.head().await?;
        self.checked = Instant::now();
        if head < self.next {
            self.up_to_date.send_replace(begin);
        } else if self.received.elapsed() > QUIET {
            self.messages = None;
        }
        Ok(())
    }
}
