//! Storing a group of webhooks, and telling each what became of it.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use runtime::clock;
use runtime::health::Health;
use runtime::nats::Nats;
use store::publish::{Outgoing, PublishError, Stored, publish, publish_batch};
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;
use crate::inbox::{NotStored, Receipt, Waiting};

/// The condition of readiness that JetStream acknowledges.
const CONDITION: &str = "jetstream";

/// Fewer than these are faster on disk one by one, at once: a batch costs as much as about this many (measured).
const MIN_BATCH: usize = 16;

/// How often a JetStream that did not acknowledge is asked whether it is back.
const LOOK: Duration = Duration::from_secs(2);

/// Stores webhooks. Clones share the gate.
#[derive(Clone)]
pub(crate) struct Committer {
    pub(crate) nats: Nats,
    pub(crate) gate: Gate,
    pub(crate) health: Health,
}

impl Committer {
    /// Stores a group, and answers each of its members.
    pub(crate) async fn commit(&self, group: Vec<Waiting>) {
        let nats = &self.nats;
        let (firsts, repeats) = part_repeats(self.refuse_if_closed(group));
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
            // It would only wait as long again.
            Some(error) => vec![Err(error); repeats.len()],
            None => publish_each(nats, messages(&repeats)).await,
        };
        self.answer(repeats, results);
    }

    fn answer(&self, group: Vec<Waiting>, results: Vec<Result<Stored, PublishError>>) {
        let mut failures = vec![];
        let mut is_acknowledged = false;
        let answers = group.into_iter().zip(results).map(|(waiting, result)| {
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
            (waiting, receipt)
        });
        let answers: Vec<_> = answers.collect();
        self.note(is_acknowledged, &failures);
        for (waiting, receipt) in answers {
            // Who has gone sends it again, and is told that it is a duplicate.
            let _ = waiting.answer.send(receipt);
        }
    }

    /// Opens or closes the gate, before anybody is answered: who comes next finds it so.
    fn note(&self, is_acknowledged: bool, failures: &[PublishError]) {
        if let Some(error) = failures.first() {
            tracing::warn!("webhooks not stored: {}, the first because: {error}", failures.len());
        }
        if is_acknowledged {
            if self.gate.open() {
                tracing::info!("JetStream acknowledges webhooks again");
            }
            self.health.ok(CONDITION);
        } else if let Some(error) = failures.first() {
            if self.gate.close() {
                tracing::warn!("one webhook at a time tries until JetStream acknowledges again");
            }
            self.health.failed(CONDITION, format!("webhooks are not stored: {error}"));
        }
    }

    /// Who waits since before the gate closed need not wait any longer.
    fn refuse_if_closed(&self, mut group: Vec<Waiting>) -> Vec<Waiting> {
        if !self.gate.is_open() {
            for waiting in group.extract_if(.., |waiting| !waiting.pass.is_probe()) {
                let _ = waiting.answer.send(Err(NotStored::Closed));
            }
        }
        group
    }

    /// Until `end`, makes it ready again when JetStream is back: to who is not ready nobody sends a webhook, and only
    /// a webhook shows whether it is acknowledged.
    pub(crate) async fn watch(self, end: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        while end.run_until_cancelled(looks.tick()).await.is_some() {
            if self.gate.is_open() {
                continue;
            }
            if end.run_until_cancelled(self.nats.inbox_has_leader()).await == Some(true) {
                self.health.ok(CONDITION);
            }
        }
    }
}

/// Parts those whose subject was there before in the group: in one batch they would have it refused.
fn part_repeats(group: Vec<Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut subjects = HashSet::new();
    group.into_iter().partition(|waiting| subjects.insert(waiting.message.subject.clone()))
}

fn messages(group: &[Waiting]) -> Vec<Outgoing> {
    group.iter().map(|waiting| waiting.message.clone()).collect()
}

/// Stores all with one commit where that pays and can be; each has its own result.
async fn publish_together(nats: &Nats, messages: Vec<Outgoing>) -> Vec<Result<Stored, PublishError>> {
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
        // One that may not be stored has the whole batch refused.
        Err(_) => publish_each(nats, messages).await,
    }
}

async fn publish_each(nats: &Nats, messages: Vec<Outgoing>) -> Vec<Result<Stored, PublishError>> {
    join_all(messages.into_iter().map(|message| publish(nats, message))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::tests::waiting;

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
}
