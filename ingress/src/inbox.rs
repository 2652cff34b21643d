//! Where requests store their webhooks: each by itself, or together with others in the queue.
//!
//! With `sync_interval: always` every commit costs one write to disk, whether it holds one message or hundreds. While
//! batches are faster, webhooks that arrive during a commit are queued, and the next commit stores them together.

use std::time::Duration;

use store::publish::NewMessage;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::breaker::Permit;
use crate::choice::Way;
use crate::commit::Committer;
use crate::load::{MAX_WAITING, Waiting};

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
    /// Too many webhooks wait already.
    #[error("too many webhooks are waiting to be stored")]
    TooMany,
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

/// Stores webhooks. Holds the sending end of the queue.
pub(crate) struct Inbox {
    queue: mpsc::Sender<QueuedWebhook>,
    committer: Committer,
}

/// The receiving end of the queue.
pub(crate) type Queue = mpsc::Receiver<QueuedWebhook>;

/// A webhook and the request that waits for its receipt.
pub(crate) struct QueuedWebhook {
    pub(crate) message: NewMessage,
    pub(crate) permit: Permit,
    pub(crate) waiting: Waiting,
    pub(crate) answer: oneshot::Sender<Result<Receipt, NotStored>>,
}

/// An inbox, and the receiving end of its queue, which [`Committer::run`] stores.
pub(crate) fn channel(committer: Committer) -> (Inbox, Queue) {
    let (queue, receiver) = mpsc::channel(MAX_WAITING);
    (Inbox { queue, committer }, receiver)
}

impl Inbox {
    /// Waits up to [`MAX_WAIT`] until the message is stored.
    ///
    /// After an error the message may be stored nevertheless; sending it again then gives [`Receipt::Duplicate`].
    pub(crate) async fn store(&self, message: NewMessage) -> Result<Receipt, NotStored> {
        let permit = self.committer.breaker.try_acquire().ok_or(NotStored::CircuitOpen)?;
        let waiting = self.committer.load.arrive().ok_or_else(|| logged(NotStored::TooMany))?;
        match waiting.way() {
            Way::OneByOne => self.committer.store(message, &waiting).await,
            Way::Batches => self.enqueue(message, permit, waiting).await,
        }
    }

    async fn enqueue(
        &self,
        message: NewMessage,
        permit: Permit,
        waiting: Waiting,
    ) -> Result<Receipt, NotStored> {
        let (answer, receipt) = oneshot::channel();
        let webhook = QueuedWebhook { message, permit, waiting, answer };
        // The queue has room for all that may wait, so an error means that the committer has ended.
        self.queue.try_send(webhook).map_err(|_| logged(NotStored::Failed))?;
        match timeout(MAX_WAIT, receipt).await {
            Ok(Ok(receipt)) => receipt,
            // The commit panicked.
            Ok(Err(_)) => Err(NotStored::Failed),
            Err(_) => Err(NotStored::TimedOut),
        }
    }
}

fn logged(reason: NotStored) -> NotStored {
    tracing::warn!("a webhook is not stored: {reason}");
    reason
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
    fill(&mut group, queue);
    Some(group)
}

/// Adds queued webhooks to a group until it is full or the future ends.
pub(crate) async fn fill_until(
    group: &mut Vec<QueuedWebhook>,
    queue: &mut Queue,
    end: impl Future<Output: Sized>,
) {
    let mut end = std::pin::pin!(end);
    while !is_full(group) {
        let next = tokio::select! {
            biased;
            _ = &mut end => break,
            next = queue.recv() => next,
        };
        let Some(webhook) = next else { break };
        group.push(webhook);
    }
    fill(group, queue);
}

/// Adds webhooks that are in the queue already.
fn fill(group: &mut Vec<QueuedWebhook>, queue: &mut Queue) {
    while !is_full(group) {
        let Ok(webhook) = queue.try_recv() else { break };
        group.push(webhook);
    }
}

fn is_full(group: &[QueuedWebhook]) -> bool {
    group.len() >= MAX_BATCH || group.iter().map(QueuedWebhook::n_bytes).sum::<usize>() >= MAX_BATCH_BYTES
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
    use crate::breaker::CircuitBreaker;
    use crate::commit::tests::unconnected;
    use crate::load::Load;

    fn message(subject: &str, n_bytes: usize) -> NewMessage {
        NewMessage {
            subject: subject.to_owned(),
            headers: async_nats::HeaderMap::new(),
            payload: Bytes::from(vec![0; n_bytes]),
            expected: None,
        }
    }

    pub(crate) fn queued(
        subject: &str,
        n_bytes: usize,
    ) -> (QueuedWebhook, oneshot::Receiver<Result<Receipt, NotStored>>) {
        let (answer, receipt) = oneshot::channel();
        let permit = CircuitBreaker::default().try_acquire().unwrap();
        let waiting = Load::new().arrive().unwrap();
        (QueuedWebhook { message: message(subject, n_bytes), permit, waiting, answer }, receipt)
    }

    async fn group_sizes(n_queued: usize, n_bytes: usize) -> Vec<usize> {
        let (inbox, mut queue) = channel(unconnected().await);
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
    async fn a_group_grows_until_it_is_full_or_the_previous_commit_ends() {
        let (inbox, mut queue) = channel(unconnected().await);
        let mut group = vec![queued("first", 1).0];
        for n in 0..300 {
            inbox.queue.try_send(queued(&n.to_string(), 1).0).expect("room in the queue");
        }
        fill_until(&mut group, &mut queue, std::future::pending::<()>()).await;
        assert_eq!(group.len(), MAX_BATCH);
        let mut next = vec![queued("next", 1).0];
        fill_until(&mut next, &mut queue, std::future::ready(())).await;
        assert_eq!(next.len(), 1 + 300 + 1 - MAX_BATCH);
    }

    #[tokio::test]
    async fn a_full_inbox_refuses_immediately() {
        let (inbox, _queue) = channel(unconnected().await);
        let waiting: Vec<_> = std::iter::from_fn(|| inbox.committer.load.arrive()).collect();
        assert_eq!(waiting.len(), MAX_WAITING);
        assert_eq!(inbox.store(message("b", 1)).await, Err(NotStored::TooMany));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_does_not_wait_forever() {
        let (inbox, queue) = channel(unconnected().await);
        let enqueue = async || {
            let permit = inbox.committer.breaker.try_acquire().unwrap();
            inbox.enqueue(message("a", 1), permit, inbox.committer.load.arrive().unwrap()).await
        };
        assert_eq!(enqueue().await, Err(NotStored::TimedOut));
        drop(queue);
        assert_eq!(enqueue().await, Err(NotStored::Failed));
    }

    #[tokio::test]
    async fn without_a_connection_a_webhook_is_refused_immediately_and_the_breaker_opens() {
        let (inbox, _queue) = channel(unconnected().await);
        assert_eq!(inbox.store(message("a", 1)).await, Err(NotStored::Failed));
        assert!(!inbox.committer.breaker.is_closed());
        // The next one is the probe.
        assert_eq!(inbox.store(message("a", 1)).await, Err(NotStored::Failed));
    }
}
