//! Storing webhooks: what waits is stored with one commit.
//!
//! With `sync_interval: always` each commit costs a write to disk, whether it holds one message or hundreds. So
//! while commits are under way, newcomers gather, and the next commit takes them all.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use runtime::clock;
use runtime::nats::Nats;
use store::publish::{Outgoing, PublishError, Stored, publish, publish_batch};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
}

/// Where webhooks are stored.
#[derive(Clone)]
pub(crate) struct Inbox {
    queue: mpsc::Sender<Waiting>,
}

/// The other end of an [`Inbox`].
pub(crate) type Queue = mpsc::Receiver<Waiting>;

/// A webhook, and who waits for its receipt.
pub(crate) struct Waiting {
    message: Outgoing,
    answer: oneshot::Sender<Result<Receipt, NotStored>>,
}

/// An inbox, and the queue for [`store_until`].
pub(crate) fn channel() -> (Inbox, Queue) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    (Inbox { queue: sender }, receiver)
}

impl Inbox {
    /// Waits until the message is stored, a few seconds at most.
    ///
    /// After an error it may be stored nevertheless: who sends it again is told so.
    pub(crate) async fn store(&self, message: Outgoing) -> Result<Receipt, NotStored> {
        let (answer, receipt) = oneshot::channel();
        self.queue.try_send(Waiting { message, answer }).map_err(|error| {
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
pub(crate) async fn store_until(nats: Nats, mut queue: Queue, end: CancellationToken) {
    let free = Arc::new(Semaphore::new(MAX_COMMITS));
    let commits = TaskTracker::new();
    // Nobody closes the semaphore.
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let Some(group) = next_group(&mut queue, &end).await else { break };
        let nats = nats.clone();
        // A task of its own: should it panic, the next one is stored all the same.
        commits.spawn(async move {
            commit(&nats, group).await;
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

async fn commit(nats: &Nats, group: Vec<Waiting>) {
    let (firsts, repeats) = part_repeats(group);
    let results = publish_together(nats, messages(&firsts)).await;
    let unacknowledged = results.iter().find_map(|result| match result {
        Err(error @ PublishError::Unacknowledged(_)) => Some(error.clone()),
        Err(_) | Ok(_) => None,
    });
    answer(firsts, results);
    let results = match unacknowledged {
        // It would only wait as long again.
        Some(error) => vec![Err(error); repeats.len()],
        None => publish_each(nats, messages(&repeats)).await,
    };
    answer(repeats, results);
}

/// Parts those whose subject was there before in the group: in one batch they would have it refused.
fn part_repeats(group: Vec<Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut subjects = HashSet::new();
    group.into_iter().partition(|waiting| subjects.insert(waiting.message.subject.clone()))
}

fn messages(group: &[Waiting]) -> Vec<Outgoing> {
    group.iter().map(|waiting| waiting.message.clone()).collect()
}

/// Stores all with one commit if it can; each has its own result.
async fn publish_together(nats: &Nats, messages: Vec<Outgoing>) -> Vec<Result<Stored, PublishError>> {
    let n_messages = messages.len();
    #[expect(clippy::cast_precision_loss, reason = "a batch has 256 messages at most")]
    metrics::histogram!("ingress_batch_size").record(n_messages as f64);
    if n_messages == 1 {
        return publish_each(nats, messages).await;
    }
    let batch = clock::new_id().simple().to_string();
    match publish_batch(nats, &batch, messages.clone()).await {
        Ok(stored) => vec![Ok(stored); n_messages],
        Err(error @ PublishError::Unacknowledged(_)) => vec![Err(error); n_messages],
        // One that may not be stored has the whole batch refused.
        Err(_) => publish_each(nats, messages).await,
    }
}

async fn publish_each(nats: &Nats, messages: Vec<Outgoing>) -> Vec<Result<Stored, PublishError>> {
    join_all(messages.into_iter().map(|message| publish(nats, message))).await
}

fn answer(group: Vec<Waiting>, results: Vec<Result<Stored, PublishError>>) {
    let mut failures = vec![];
    for (waiting, result) in group.into_iter().zip(results) {
        let receipt = match result {
            Ok(Stored { .. }) => Ok(Receipt::Stored),
            Err(PublishError::Conflict) => Ok(Receipt::Duplicate),
            Err(PublishError::InFlight) => Err(NotStored::InFlight),
            Err(
                error @ (PublishError::Busy | PublishError::Refused { .. } | PublishError::Unacknowledged(_)),
            ) => {
                failures.push(error);
                Err(NotStored::Failed)
            }
        };
        // Who has gone sends it again, and is told that it is a duplicate.
        let _ = waiting.answer.send(receipt);
    }
    if let Some(error) = failures.first() {
        tracing::warn!("webhooks not stored: {}, the first because: {error}", failures.len());
    }
}

impl Waiting {
    fn n_bytes(&self) -> usize {
        self.message.payload.len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn waiting(subject: &str, n_bytes: usize) -> (Waiting, oneshot::Receiver<Result<Receipt, NotStored>>) {
        let (answer, receipt) = oneshot::channel();
        let message = Outgoing {
            subject: subject.to_owned(),
            headers: async_nats::HeaderMap::new(),
            payload: Bytes::from(vec![0; n_bytes]),
            expected: None,
        };
        (Waiting { message, answer }, receipt)
    }

    fn subjects(group: &[Waiting]) -> Vec<&str> {
        group.iter().map(|waiting| waiting.message.subject.as_str()).collect()
    }

    #[test]
    fn the_second_of_a_subject_is_not_in_the_batch() {
        let group = ["a", "b", "a", "c", "a"].map(|subject| waiting(subject, 1).0);
        let (firsts, repeats) = part_repeats(group.into());
        assert_eq!(subjects(&firsts), ["a", "b", "c"]);
        assert_eq!(subjects(&repeats), ["a", "a"]);
    }

    async fn group_sizes(n_waiting: usize, n_bytes: usize) -> Vec<usize> {
        let (inbox, mut queue) = channel();
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
        let (inbox, _queue) = channel();
        for _ in 0..MAX_WAITING {
            inbox.queue.try_send(waiting("a", 1).0).expect("room in the queue");
        }
        assert_eq!(inbox.store(waiting("b", 1).0.message).await, Err(NotStored::Full));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let (inbox, queue) = channel();
        assert_eq!(inbox.store(waiting("a", 1).0.message).await, Err(NotStored::Late));
        drop(queue);
        assert_eq!(inbox.store(waiting("a", 1).0.message).await, Err(NotStored::Failed));
    }
}
