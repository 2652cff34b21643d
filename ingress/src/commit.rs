//! Stores groups of webhooks in JetStream and tells each request the outcome.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use runtime::clock;
use runtime::health::Health;
use runtime::nats::Nats;
use store::publish::{NewMessage, PublishError, Stored, publish, publish_batch};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::breaker::CircuitBreaker;
use crate::inbox::{NotStored, Queue, QueuedWebhook, Receipt, next_group};

/// Name of the readiness condition that JetStream acknowledges.
const CONDITION: &str = "jetstream";

/// Smaller groups are published one by one, concurrently: a batch costs as much as about this many publishes (measured).
const MIN_BATCH: usize = 16;

/// One commit is written to disk while the next is on its way to the server.
const MAX_COMMITS: usize = 2;

/// How often to poll the stream leader while JetStream does not acknowledge.
const LEADER_POLL: Duration = Duration::from_secs(2);

/// Stores webhooks. Clones share the circuit breaker.
#[derive(Clone)]
pub(crate) struct Committer {
    pub(crate) nats: Nats,
    pub(crate) breaker: CircuitBreaker,
    pub(crate) health: Health,
}

impl Committer {
    /// Stores queued webhooks until `end`, then stores the rest of the queue and returns.
    pub(crate) async fn run(self, mut queue: Queue, end: CancellationToken) {
        let permits = Arc::new(Semaphore::new(MAX_COMMITS));
        let commits = TaskTracker::new();
        // Acquiring never fails, because nothing closes the semaphore.
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            let Some(group) = next_group(&mut queue, &end).await else { break };
            let committer = self.clone();
            // A separate task: a panic in one commit does not stop the next.
            commits.spawn(async move {
                committer.commit(group).await;
                drop(permit);
            });
        }
        commits.close();
        commits.wait().await;
    }

    /// Stores a group and answers each of its requests.
    async fn commit(&self, group: Vec<QueuedWebhook>) {
        let nats = &self.nats;
        let (firsts, repeats) = split_repeats(self.refuse_if_open(group));
        if firsts.is_empty() {
            return;
        }
        let results = publish_together(nats, messages(&firsts)).await;
        let unacknowledged = results.iter().find_map(|result| match result {
            Err(error @ PublishError::Unacknowledged(_)) => Some(error.clone()),
            Err(_) | Ok(_) => None,
        });
        self.answer(firsts, results);
        let results = match unacknowledged {
            // Publishing now would wait for the same timeout again.
            Some(error) => vec![Err(error); repeats.len()],
            None => publish_each(nats, messages(&repeats)).await,
        };
        self.answer(repeats, results);
    }

    fn answer(&self, group: Vec<QueuedWebhook>, results: Vec<Result<Stored, PublishError>>) {
        let mut failures = vec![];
        let mut is_acknowledged = false;
        let answers = group.into_iter().zip(results).map(|(webhook, result)| {
            let receipt = match result {
                Ok(Stored { .. }) => Ok(Receipt::Stored),
                Err(PublishError::Conflict) => Ok(Receipt::Duplicate),
                Err(PublishError::InFlight) => Err(NotStored::InFlight),
                Err(
                    error @ (PublishError::Busy
                    | PublishError::Refused { .. }
                    | PublishError::Unacknowledged(_)),
                ) => {
                    failures.push(error);
                    Err(NotStored::Failed)
                }
            };
            is_acknowledged |= receipt.is_ok();
            (webhook, receipt)
        });
        let answers: Vec<_> = answers.collect();
        // Before any request is answered, so that the client's next request meets the new state.
        self.record_outcome(is_acknowledged, &failures);
        for (webhook, receipt) in answers {
            // A client that disconnected retries and gets "duplicate".
            let _ = webhook.answer.send(receipt);
        }
    }

    /// Updates circuit breaker and readiness after a commit.
    fn record_outcome(&self, is_acknowledged: bool, failures: &[PublishError]) {
        if let Some(error) = failures.first() {
            tracing::warn!("{} webhooks are not stored; first error: {error}", failures.len());
        }
        if is_acknowledged {
            if self.breaker.close() {
                tracing::info!("JetStream acknowledges webhooks again");
            }
            self.health.ok(CONDITION);
        } else if let Some(error) = failures.first() {
            if self.breaker.open() {
                tracing::warn!(
                    "circuit breaker opened: one webhook at a time is tried until JetStream acknowledges"
                );
            }
            self.health.failed(CONDITION, format!("webhooks are not stored: {error}"));
        }
    }

    /// While the breaker is open, refuses queued webhooks that are not probes, so that they do not wait in vain.
    fn refuse_if_open(&self, mut group: Vec<QueuedWebhook>) -> Vec<QueuedWebhook> {
        if !self.breaker.is_closed() {
            for webhook in group.extract_if(.., |webhook| !webhook.permit.is_probe()) {
                let _ = webhook.answer.send(Err(NotStored::CircuitOpen));
            }
        }
        group
    }

    /// Until `end`, restores readiness when the inbox stream has a leader again.
    ///
    /// An unready instance receives no webhooks, so it could never observe recovery; poll the stream leader instead.
    pub(crate) async fn restore_readiness(self, end: CancellationToken) {
        let mut polls = tokio::time::interval(LEADER_POLL);
        while end.run_until_cancelled(polls.tick()).await.is_some() {
            if self.breaker.is_closed() {
                continue;
            }
            if end.run_until_cancelled(self.nats.inbox_has_leader()).await == Some(true) {
                self.health.ok(CONDITION);
            }
        }
    }
}

/// Separates the first webhook on each subject from its repeats: JetStream would refuse a batch with both.
fn split_repeats(group: Vec<QueuedWebhook>) -> (Vec<QueuedWebhook>, Vec<QueuedWebhook>) {
    let mut subjects = HashSet::new();
    group.into_iter().partition(|webhook| subjects.insert(webhook.message.subject.clone()))
}

fn messages(group: &[QueuedWebhook]) -> Vec<NewMessage> {
    group.iter().map(|webhook| webhook.message.clone()).collect()
}

/// Publishes large groups as one batch and small groups one by one. Returns one result for each message.
async fn publish_together(nats: &Nats, messages: Vec<NewMessage>) -> Vec<Result<Stored, PublishError>> {
    let n_messages = messages.len();
    #[expect(clippy::cast_precision_loss, reason = "a batch has 256 messages at most")]
    metrics::histogram!("ingress_batch_size").record(n_messages as f64);
    if n_messages < MIN_BATCH {
        return publish_each(nats, messages).await;
    }
    let batch = clock::new_id().simple().to_string();
    match publish_batch(nats, &batch, messages.clone()).await {
        Ok(stored) => vec![Ok(stored); n_messages],
        Err(error @ PublishError::Unacknowledged(_)) => vec![Err(error); n_messages],
        // One refused message makes JetStream refuse the whole batch.
        Err(_) => publish_each(nats, messages).await,
    }
}

async fn publish_each(nats: &Nats, messages: Vec<NewMessage>) -> Vec<Result<Stored, PublishError>> {
    join_all(messages.into_iter().map(|message| publish(nats, message))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::queued;

    fn subjects(group: &[QueuedWebhook]) -> Vec<&str> {
        group.iter().map(|webhook| webhook.message.subject.as_str()).collect()
    }

    #[test]
    fn repeats_of_a_subject_are_not_in_the_batch() {
        let group = ["a", "b", "a", "c", "a"].map(|subject| queued(subject, 1).0);
        let (firsts, repeats) = split_repeats(group.into());
        assert_eq!(subjects(&firsts), ["a", "b", "c"]);
        assert_eq!(subjects(&repeats), ["a", "a"]);
    }
}
