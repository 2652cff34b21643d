//! Stores webhooks in JetStream, single ones and groups, and tells each request the outcome.

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
use crate::choice::MIN_BATCH;
use crate::inbox::{NotStored, Queue, QueuedWebhook, Receipt, fill_until, next_group};
use crate::load::{Load, Waiting};

/// Name of the readiness condition that JetStream acknowledges.
const CONDITION: &str = "jetstream";

/// One commit is written to disk while the next is on its way to the server, if that one is full.
const MAX_COMMITS: usize = 2;

/// How often to poll the stream leader while JetStream does not acknowledge.
const LEADER_POLL: Duration = Duration::from_secs(2);

/// Stores webhooks. Clones share the circuit breaker and the load.
#[derive(Clone)]
pub(crate) struct Committer {
    pub(crate) nats: Nats,
    pub(crate) breaker: CircuitBreaker,
    pub(crate) load: Load,
    pub(crate) health: Health,
}

impl Committer {
    pub(crate) fn new(nats: Nats, health: Health) -> Self {
        Self { nats, breaker: CircuitBreaker::default(), load: Load::new(), health }
    }

    /// Stores one webhook by itself.
    pub(crate) async fn store(&self, message: NewMessage, waiting: &Waiting) -> Result<Receipt, NotStored> {
        record_batch_size(1);
        let result = publish(&self.nats, message).await;
        if result.is_ok() {
            self.load.acknowledge([waiting]);
        }
        let receipt = receipt(&result);
        let failure = result.as_ref().err().filter(|_| receipt == Err(NotStored::Failed));
        self.record_outcome(receipt.is_ok(), failure, 1);
        receipt
    }

    /// Stores queued webhooks until `end`, then stores the rest of the queue and returns.
    pub(crate) async fn run(self, mut queue: Queue, end: CancellationToken) {
        let permits = Arc::new(Semaphore::new(MAX_COMMITS));
        let commits = TaskTracker::new();
        // Acquiring never fails, because nothing closes the semaphore.
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            let Some(mut group) = next_group(&mut queue, &end).await else { break };
            // JetStream writes one batch at a time, and each has a high fixed cost: a larger batch is faster than an
            // earlier one (measured).
            let no_other_commit = permits.acquire();
            fill_until(&mut group, &mut queue, no_other_commit).await;
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
        let results = publish_together(nats, &firsts).await;
        let stored = firsts.iter().zip(&results).filter(|(_, result)| result.is_ok());
        self.load.acknowledge(stored.map(|(webhook, _)| &webhook.waiting));
        let unacknowledged = results.iter().find_map(|result| match result {
            Err(error @ PublishError::Unacknowledged(_)) => Some(error.clone()),
            Err(_) | Ok(_) => None,
        });
        self.answer(firsts, &results);
        let results = match unacknowledged {
            // Publishing now would wait for the same timeout again.
            Some(error) => vec![Err(error); repeats.len()],
            None => publish_each(nats, messages(&repeats)).await,
        };
        self.answer(repeats, &results);
    }

    fn answer(&self, group: Vec<QueuedWebhook>, results: &[Result<Stored, PublishError>]) {
        let receipts: Vec<_> = results.iter().map(receipt).collect();
        let is_acknowledged = receipts.iter().any(Result::is_ok);
        let failed = receipts.iter().zip(results).filter(|(receipt, _)| **receipt == Err(NotStored::Failed));
        let failures: Vec<_> = failed.filter_map(|(_, result)| result.as_ref().err()).collect();
        // Before any request is answered, so that the client's next request meets the new state.
        self.record_outcome(is_acknowledged, failures.first().copied(), failures.len());
        for (webhook, receipt) in group.into_iter().zip(receipts) {
            // A client that disconnected retries and gets "duplicate".
            let _ = webhook.answer.send(receipt);
        }
    }

    /// Updates circuit breaker and readiness after a publish or a commit.
    fn record_outcome(&self, is_acknowledged: bool, failure: Option<&PublishError>, n_failures: usize) {
        if is_acknowledged && self.breaker.close(|| self.health.ok(CONDITION)) {
            tracing::info!("JetStream acknowledges webhooks again");
        }
        let Some(error) = failure else { return };
        let problem = format!("webhooks are not stored: {error}");
        if is_acknowledged {
            tracing::warn!("{n_failures} {problem}");
        } else if self.breaker.open(|| self.health.failed(CONDITION, problem.clone())) {
            tracing::warn!(
                "{problem}; circuit breaker opened: one webhook at a time is tried until JetStream acknowledges"
            );
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

/// What a request learns about its publish.
fn receipt(result: &Result<Stored, PublishError>) -> Result<Receipt, NotStored> {
    match result {
        Ok(Stored { .. }) => Ok(Receipt::Stored),
        Err(PublishError::Conflict) => Ok(Receipt::Duplicate),
        Err(PublishError::InFlight) => Err(NotStored::InFlight),
        Err(PublishError::Busy | PublishError::Refused { .. } | PublishError::Unacknowledged(_)) => {
            Err(NotStored::Failed)
        }
    }
}

/// Separates the first webhook on each subject from its repeats: JetStream would refuse a batch with both.
fn split_repeats(group: Vec<QueuedWebhook>) -> (Vec<QueuedWebhook>, Vec<QueuedWebhook>) {
    let mut subjects = HashSet::with_capacity(group.len());
    let is_first: Vec<_> = group.iter().map(|webhook| subjects.insert(&*webhook.message.subject)).collect();
    let mut is_first = is_first.into_iter();
    group.into_iter().partition(|_| is_first.next() == Some(true))
}

fn messages(group: &[QueuedWebhook]) -> Vec<NewMessage> {
    group.iter().map(|webhook| webhook.message.clone()).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a batch has 256 messages at most")]
fn record_batch_size(n_webhooks: usize) {
    metrics::histogram!("ingress_batch_size").record(n_webhooks as f64);
}

/// Publishes large groups as one batch and small groups one by one. Returns one result for each webhook.
async fn publish_together(nats: &Nats, group: &[QueuedWebhook]) -> Vec<Result<Stored, PublishError>> {
    let n_webhooks = group.len();
    record_batch_size(n_webhooks);
    if n_webhooks < MIN_BATCH {
        return publish_each(nats, messages(group)).await;
    }
    let batch = clock::new_id().simple().to_string();
    match publish_batch(nats, &batch, messages(group)).await {
        Ok(stored) => vec![Ok(stored); n_webhooks],
        Err(error @ PublishError::Unacknowledged(_)) => vec![Err(error); n_webhooks],
        // One refused message makes JetStream refuse the whole batch.
        Err(_) => publish_each(nats, messages(group)).await,
    }
}

async fn publish_each(nats: &Nats, messages: Vec<NewMessage>) -> Vec<Result<Stored, PublishError>> {
    join_all(messages.into_iter().map(|message| publish(nats, message))).await
}

#[cfg(test)]
pub(crate) mod tests {
    use domain::key::Namespace;
    use runtime::config::NatsConfig;

    use super::*;
    use crate::inbox::tests::queued;

    /// A committer whose NATS server does not exist.
    pub(crate) async fn unconnected() -> Committer {
        let config = NatsConfig::plain("nats://127.0.0.1:1".to_owned(), Namespace::default());
        let health = Health::default();
        Committer::new(Nats::connect(&config, "test", &health).await.unwrap(), health)
    }

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
