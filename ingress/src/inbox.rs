//! Where webhooks wait to be stored: many that wait are stored with one commit.
//!
//! With `sync_interval: always` each commit costs a write to disk, whether it holds one message or hundreds. So
//! while commits are under way, newcomers gather, and the next commit takes them all. Few are stored one by one.

use std::sync::Arc;
use std::time::Duration;

use store::publish::Outgoing;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::commit::Committer;
use crate::gate::{Gate, Pass};

/// How many webhooks may wait; a longer queue would not be through before authentik gives up.
const MAX_WAITING: usize = 1024;
/// How many webhooks one commit holds; more bring nothing (measured).
const MAX_BATCH: usize = 256;
/// How many bytes one commit holds, so that it is through well within the timeout of its acknowledgement.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// One commit is on disk while the next is on its way.
const MAX_COMMITS: usize = 2;
/// How long a request waits; an acknowledgement may take 3 s, and a commit may be before it.
const MAX_WAIT: Duration = Duration::from_secs(4);

/// What became of a webhook that is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// Stored now.
    Stored,
    /// Stored before.
    Duplicate,
}

/// Why a webhook is not known to be safe: it must be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotStored {
    /// Too many wait.
    #[error("too many webhooks wait to be stored")]
    Full,
    /// No answer in time.
    #[error("it took too long to store the webhook")]
    Late,
    /// The same webhook is under way in another request.
    #[error("the same webhook is being stored for another request")]
    InFlight,
    /// JetStream refused it, or did not acknowledge it.
    #[error("JetStream did not acknowledge the webhook")]
    Failed,
    /// JetStream acknowledges nothing now; one webhook at a time tries whether it does again.
    #[error("JetStream does not acknowledge webhooks at the moment")]
    Closed,
}

/// Where webhooks are stored.
#[derive(Clone)]
pub(crate) struct Inbox {
    queue: mpsc::Sender<Waiting>,
    gate: Gate,
}

/// The other end of an [`Inbox`].
pub(crate) type Queue = mpsc::Receiver<Waiting>;

/// A webhook, and who waits for its receipt.
pub(crate) struct Waiting {
    pub(crate) message: Outgoing,
    pub(crate) pass: Pass,
    pub(crate) answer: oneshot::Sender<Result<Receipt, NotStored>>,
}

/// An inbox behind the gate, and the queue for [`store_until`].
pub(crate) fn channel(gate: Gate) -> (Inbox, Queue) {
    let (queue, receiver) = mpsc::channel(MAX_WAITING);
    (Inbox { queue, gate }, receiver)
}

impl Inbox {
    /// Waits until the message is stored, a few seconds at most.
    ///
    /// After an error it may be stored nevertheless: who sends it again is told so.
    pub(crate) async fn store(&self, message: Outgoing) -> Result<Receipt, NotStored> {
        let pass = self.gate.enter().ok_or(NotStored::Closed)?;
        let (answer, receipt) = oneshot::channel();
        self.queue.try_send(Waiting { message, pass, answer }).map_err(|error| {
            let refusal = match error {
                mpsc::error::TrySendError::Full(_) => NotStored::Full,
                mpsc::error::TrySendError::Closed(_) => NotStored::Failed,
            };
            tracing::warn!("a webhook is not stored: {refusal}");
            refusal
        })?;
        match timeout(MAX_WAIT, receipt).await {
            Ok(Ok(receipt)) => receipt,
            // The commit died.
            Ok(Err(_)) => Err(NotStored::Failed),
            Err(_) => Err(NotStored::Late),
        }
    }
}

/// Stores what comes into the queue; when `end` comes, what is in the queue by then, and returns.
pub(crate) async fn store_until(committer: Committer, mut queue: Queue, end: CancellationToken) {
    let free = Arc::new(Semaphore::new(MAX_COMMITS));
    let commits = TaskTracker::new();
    // Nobody closes the semaphore.
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let Some(group) = next_group(&mut queue, &end).await else { break };
        let committer = committer.clone();
        // A task of its own: should it panic, the next one is stored all the same.
        commits.spawn(async move {
            committer.commit(group).await;
            drop(permit);
        });
    }
    commits.close();
    commits.wait().await;
}

/// All that waits, as far as it fits; nothing where nothing can come any more.
async fn next_group(queue: &mut Queue, end: &CancellationToken) -> Option<Vec<Waiting>> {
    let first = tokio::select! {
        first = queue.recv() => first,
        () = end.cancelled() => {
            queue.close();
            queue.recv().await
        }
    };
    let mut group = vec![first?];
    let mut n_bytes = group.iter().map(Waiting::n_bytes).sum::<usize>();
    while group.len() < MAX_BATCH && n_bytes < MAX_BATCH_BYTES {
        let Ok(waiting) = queue.try_recv() else { break };
        n_bytes += waiting.n_bytes();
        group.push(waiting);
    }
    Some(group)
}

impl Waiting {
    fn n_bytes(&self) -> usize {
        self.message.payload.len()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;

    use super::*;

    pub(crate) fn waiting(
        subject: &str,
        n_bytes: usize,
    ) -> (Waiting, oneshot::Receiver<Result<Receipt, NotStored>>) {
        let (answer, receipt) = oneshot::channel();
        let message = Outgoing {
            subject: subject.to_owned(),
            headers: async_nats::HeaderMap::new(),
            payload: Bytes::from(vec![0; n_bytes]),
            expected: None,
        };
        (Waiting { message, pass: Gate::default().enter().unwrap(), answer }, receipt)
    }

    async fn group_sizes(n_waiting: usize, n_bytes: usize) -> Vec<usize> {
        let (inbox, mut queue) = channel(Gate::default());
        for n in 0..n_waiting {
            inbox.queue.try_send(waiting(&n.to_string(), n_bytes).0).expect("room in the queue");
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
    async fn at_the_end_all_that_waits_is_taken_in_groups_that_fit() {
        assert_eq!(group_sizes(0, 1).await, Vec::<usize>::new());
        assert_eq!(group_sizes(3, 1).await, [3]);
        assert_eq!(group_sizes(600, 1).await, [256, 256, 88]);
        assert_eq!(group_sizes(40, 256 * 1024).await, [16, 16, 8]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let (inbox, _queue) = channel(Gate::default());
        for _ in 0..MAX_WAITING {
            inbox.queue.try_send(waiting("a", 1).0).expect("room in the queue");
        }
        assert_eq!(inbox.store(waiting("b", 1).0.message).await, Err(NotStored::Full));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let (inbox, queue) = channel(Gate::default());
        assert_eq!(inbox.store(waiting("a", 1).0.message).await, Err(NotStored::Late));
        drop(queue);
        assert_eq!(inbox.store(waiting("a", 1).0.message).await, Err(NotStored::Failed));
    }
}
