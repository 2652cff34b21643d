//! Handles one hint: records the user or group, and adds hints about members of a changed group.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use domain::hint::{Cause, Hint, HintTarget, InternalHint, Parsed};
use domain::key::{Entity, GroupId, UserPk};
use domain::timestamp::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use runtime::nats::Nats;
use store::inbox::put_hint;
use store::publish::PublishError;

use crate::delivery::Delivery;
use crate::directory::Directory;
use crate::intake::CONSUMER;
use crate::record::members::Members;
use crate::record::{HandleError, Recorder};

/// How many member hints of one group are published concurrently.
const MEMBER_HINTS_IN_FLIGHT: usize = 64;

/// The result of a hint without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    /// The log agrees with authentik.
    Done,
    /// The log agrees with authentik, but authentik may have read from a lagging replica. Repeat after this time.
    RepeatAfter(Duration),
}

pub(crate) struct Handler<D> {
    recorder: Arc<Recorder<D>>,
    nats: Nats,
    members: Members,
    pending_members: PendingMembers,
    settle: Duration,
}

impl<D: Directory> Handler<D> {
    pub(crate) fn new(recorder: Arc<Recorder<D>>, nats: Nats, members: Members, settle: Duration) -> Self {
        Self { recorder, nats, members, pending_members: PendingMembers::default(), settle }
    }

    /// Parses a delivery; rejects an unreadable one.
    pub(crate) fn read(delivery: &Delivery) -> Result<Parsed, HandleError> {
        let reading = domain::hint::read(delivery.id.clone(), delivery.channel, &delivery.body);
        reading.map_err(|error| HandleError::Reject(error.into()))
    }

    pub(crate) async fn handle(&self, hint: Hint, delivery: &Delivery) -> Result<Handled, HandleError> {
        let n_events = self.record(hint, delivery.received).await?;
        if n_events == 0 && !self.settle.is_zero() && delivery.n_deliveries == 1 {
            return Ok(Handled::RepeatAfter(self.settle));
        }
        Ok(Handled::Done)
    }

    async fn record(&self, hint: Hint, received: Timestamp) -> Result<usize, HandleError> {
        let directory = self.recorder.directory();
        let found = match &hint.target {
            HintTarget::Entity(Entity::User(pk)) => Some(*pk),
            HintTarget::Entity(Entity::Group(id)) => return self.record_group(*id, hint, received).await,
            HintTarget::UserWithUuid(uuid) => directory.user_with_uuid(*uuid).await?.map(|user| user.pk),
            HintTarget::UserNamed(username) => directory.user_named(username).await?.map(|user| user.pk),
        };
        match found {
            Some(pk) => Ok(self.recorder.record(Entity::User(pk), hint, received).await?.n_events),
            None => Ok(0),
        }
    }

    /// Records a group, and adds a hint for each differing member: a group's hint does not name the changed members.
    async fn record_group(&self, id: GroupId, hint: Hint, received: Timestamp) -> Result<usize, HandleError> {
        let cause = hint.cause.clone();
        // Read the recorded members before authentik's: a member recorded in between only gets a redundant hint.
        let head = self.recorder.log().head().await.map_err(HandleError::Retry)?;
        self.members.wait_for(head).await.map_err(HandleError::Retry)?;
        let recorded = self.members.of(id);
        let members = self.recorder.record(Entity::Group(id), hint, received).await?.members;
        let mut differing: Vec<UserPk> = recorded.symmetric_difference(&members).copied().collect();
        if !differing.is_empty() {
            let delivered = self.delivered().await.map_err(HandleError::Retry)?;
            self.pending_members.remove_pending(&mut differing, delivered);
        }
        let n_hints = differing.len();
        stream::iter(differing)
            .map(|pk| self.hint_member(pk, &cause))
            .buffer_unordered(MEMBER_HINTS_IN_FLIGHT)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(n_hints)
    }

    /// The sequence up to which the inbox was delivered to any projector.
    async fn delivered(&self) -> anyhow::Result<u64> {
        let name = self.nats.namespace.inbox_stream();
        let inbox = self.nats.jetstream.get_stream_no_info(name).await.context("opening the inbox")?;
        let consumer = inbox.consumer_info(CONSUMER).await.context("reading the inbox's consumer")?;
        Ok(consumer.delivered.stream_sequence)
    }

    async fn hint_member(&self, pk: UserPk, cause: &Cause) -> Result<(), HandleError> {
        let hint = InternalHint::about_member(pk, cause);
        match put_hint(&self.nats, &cause.delivery.member(pk), cause.channel, &hint).await {
            Ok(stored) => {
                self.pending_members.insert(pk, stored.sequence);
                Ok(())
            }
            // An earlier delivery of the group's hint stored this member hint.
            Err(PublishError::Conflict) => Ok(()),
            Err(error) => Err(HandleError::Retry(anyhow::Error::new(error).context("storing a member hint"))),
        }
    }
}

/// Member hints that this process stored in the inbox and that no projector received yet.
///
/// During a backlog every hint about a group finds the same differing members. A pending member hint reads its member
/// later than now, so a second one would be redundant.
#[derive(Default)]
struct PendingMembers {
    /// The sequence of each member's newest hint.
    sequences: Mutex<HashMap<UserPk, u64>>,
}

impl PendingMembers {
    fn insert(&self, pk: UserPk, sequence: u64) {
        let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = sequences.entry(pk).or_default();
        *newest = sequence.max(*newest);
    }

    /// Removes the members with a pending hint. A delivered hint is not pending: its member may have been read already.
    fn remove_pending(&self, differing: &mut Vec<UserPk>, delivered: u64) {
        let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        sequences.retain(|_, sequence| *sequence > delivered);
        differing.retain(|pk| !sequences.contains_key(pk));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_needs_no_second_hint_until_the_first_one_was_delivered() {
        let pending = PendingMembers::default();
        pending.insert(1, 10);
        pending.insert(2, 12);
        pending.insert(1, 11);
        let differing = |delivered| {
            let mut differing = vec![1, 2, 3];
            pending.remove_pending(&mut differing, delivered);
            differing
        };
        assert_eq!(differing(10), [3]);
        assert_eq!(differing(11), [1, 3]);
        assert_eq!(differing(12), [1, 2, 3]);
    }
}
