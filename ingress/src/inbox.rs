//! The queue of webhooks that wait to be stored.
//!
//! With `sync_interval: always` every commit costs one write to disk, whether it holds one message or hundreds.
//! Webhooks that arrive during a commit are therefore queued, and the next commit stores them together.

use std::time::Duration;

use store::publish::NewMessage;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::breaker::{CircuitBreaker, Permit};

/// Most webhooks in the queue. authentik would give up before the end of a longer queue is stored.
const MAX_QUEUED: usize = 1024;
/// Most webhooks in a commit; larger commits are not faster (measured).
const MAX_BATCH: usize = 256;
/// Most bytes in a commit, so that it ends well within the acknowledgement timeout.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How long a request waits: an acknowledgement can take 3 s, and another commit can precede it.
const MAX_WAIT: Duration = Duration::from_secs(4);

/// The outcome for a webhook that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// This request stored it.
    Stored,
    /// An earlier request stored it.
    Duplicate,
}

/// Why a webhook is perhaps not stored and must be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotStored {
    /// The queue is full.
    #[error("too many webhooks are waiting to be stored")]
    QueueFull,
    /// The outcome was not known within [`MAX_WAIT`].
    #[error("storing the webhook took too long")]
    TimedOut,
    /// Another request is storing the same webhook.
    #[error("another request is storing the same webhook")]
    InFlight,
    /// JetStream refused the webhook or did not acknowledge it.
    #[error("JetStream did not acknowledge the webhook")]
    Failed,
    /// The circuit breaker is open and another webhook is the probe.
    #[error("JetStream does not acknowledge webhooks at present")]
    CircuitOpen,
}

/// The sending end of the queue.
#[derive(Clone)]
pub(crate) struct Inbox {
    queue: mpsc::Sender<QueuedWebhook>,
    breaker: CircuitBreaker,
}

/// The receiving end of the queue.
pub(crate) type Queue = mpsc::Receiver<QueuedWebhook>;

/// A webhook and the request that waits for its receipt.
pub(crate) struct QueuedWebhook {
    pub(crate) message: NewMessage,
    pub(crate) permit: Permit,
    pub(crate) answer: oneshot::Sender<Result<Receipt, NotStored>>,
}

/// Both ends of a new queue, which admits webhooks as the circuit breaker permits.
pub(crate) fn channel(breaker: CircuitBreaker) -> (Inbox, Queue) {
    let (queue, receiver) = mpsc::channel(MAX_QUEUED);
    (Inbox { queue, breaker }, receiver)
}

impl Inbox {
    /// Waits up to [`MAX_WAIT`] until the message is stored.
    ///
    /// After an error the message may be stored nevertheless; sending it again then gives [`Receipt::Duplicate`].
    pub(crate) async fn store(&self, message: NewMessage) -> Result<Receipt, NotStored> {
        let permit = self.breaker.try_acquire().ok_or(NotStored::CircuitOpen)?;
        let (answer, receipt) = oneshot::channel();
        self.queue.try_send(QueuedWebhook { message, permit, answer }).map_err(|error| {
            let reason = match error {
                mpsc::error::TrySendError::Full(_) => NotStored::QueueFull,
                mpsc::error::TrySendError::Closed(_) => NotStored::Failed,
            };
            tracing::warn!("a webhook is not stored: {reason}");
            reason
        })?;
        match timeout(MAX_WAIT, receipt).await {
            Ok(Ok(receipt)) => receipt,
            // The commit panicked.
            Ok(Err(_)) => Err(NotStored::Failed),
            Err(_) => Err(NotStored::TimedOut),
        }
    }
}

/// The queued webhooks that fit into one commit. `None` after `end`, once the queue is empty.
pub(crate) async fn next_group(queue: &mut Queue, end: &CancellationToken) -> Option<Vec<QueuedWebhook>> {
    let first = tokio::select! {
        first = queue.recv() => first,
        () = end.cancelled() => {
            queue.close();
            queue.recv().await
        }
    };
    let mut group = vec![first?];
    let mut n_bytes = group.iter().map(QueuedWebhook::n_bytes).sum::<usize>();
    while group.len() < MAX_BATCH && n_bytes < MAX_BATCH_BYTES {
        let Ok(webhook) = queue.try_recv() else { break };
        n_bytes += webhook.n_bytes();
        group.push(webhook);
    }
    Some(group)
}

impl QueuedWebhook {
    fn n_bytes(&self) -> usize {
        self.message.payload.len()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;

    use super::*;

    pub(crate) fn queued(
        subject: &str,
        n_bytes: usize,
    ) -> (QueuedWebhook, oneshot::Receiver<Result<Receipt, NotStored>>) {
        let (answer, receipt) = oneshot::channel();
        let message = NewMessage {
            subject: subject.to_owned(),
            headers: async_nats::HeaderMap::new(),
            payload: Bytes::from(vec![0; n_bytes]),
            expected: None,
        };
        (QueuedWebhook { message, permit: CircuitBreaker::default().try_acquire().unwrap(), answer }, receipt)
    }

    async fn group_sizes(n_queued: usize, n_bytes: usize) -> Vec<usize> {
        let (inbox, mut queue) = channel(CircuitBreaker::default());
        for n in 0..n_queued {
            inbox.queue.try_send(queued(&n.to_string(), n_bytes).0).expect("room in the queue");
        }
        let end = CancellationToken::new();
        end.cancel();
        let mut sizes = vec![];
        while let Some(group) = next_group(&mut queue, &end).await {
            sizes.push(group.len());
        }
        sizes
    }

    #[tokio::test]
    async fn at_the_end_the_rest_of_the_queue_is_taken_in_groups_that_fit() {
        assert_eq!(group_sizes(0, 1).await, Vec::<usize>::new());
        assert_eq!(group_sizes(3, 1).await, [3]);
        assert_eq!(group_sizes(600, 1).await, [256, 256, 88]);
        assert_eq!(group_sizes(40, 256 * 1024).await, [16, 16, 8]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_immediately() {
        let (inbox, _queue) = channel(CircuitBreaker::default());
        for _ in 0..MAX_QUEUED {
            inbox.queue.try_send(queued("a", 1).0).expect("room in the queue");
        }
        assert_eq!(inbox.store(queued("b", 1).0.message).await, Err(NotStored::QueueFull));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_does_not_wait_forever() {
        let (inbox, queue) = channel(CircuitBreaker::default());
        assert_eq!(inbox.store(queued("a", 1).0.message).await, Err(NotStored::TimedOut));
        drop(queue);
        assert_eq!(inbox.store(queued("a", 1).0.message).await, Err(NotStored::Failed));
    }
}
