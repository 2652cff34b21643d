//! What is done for one hint.

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

/// How many member hints of one group are published at once.
const MEMBER_HINTS_IN_FLIGHT: usize = 64;

/// How a hint ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    /// Log and authentik agree.
    Done,
    /// They agree, but authentik may have read from a replica: look once more after this time.
    LookAgain(Duration),
}

/// Everything that handling a hint needs.
pub(crate) struct Handler<D> {
    recorder: Arc<Recorder<D>>,
    nats: Nats,
    members: Members,
    hinted: Hinted,
    settle: Duration,
}

impl<D: Directory> Handler<D> {
    pub(crate) fn new(recorder: Arc<Recorder<D>>, nats: Nats, members: Members, settle: Duration) -> Self {
        let hinted = Hinted::default();
        Self { recorder, nats, members, hinted, settle }
    }

    /// What a delivery asks for; deliveries of which nothing can be made out are rejected.
    pub(crate) fn read(delivery: &Delivery) -> Result<Parsed, HandleError> {
        let reading = domain::hint::read(delivery.id.clone(), delivery.channel, &delivery.body);
        reading.map_err(|error| HandleError::Reject(error.into()))
    }

    /// Records what the hint leads to.
    pub(crate) async fn handle(&self, hint: Hint, delivery: &Delivery) -> Result<Handled, HandleError> {
        let n_events = self.record(hint, delivery.received).await?;
        if n_events == 0 && !self.settle.is_zero() && delivery.n_deliveries == 1 {
            return Ok(Handled::LookAgain(self.settle));
        }
        Ok(Handled::Done)
    }

    async fn record(&self, hint: Hint, received: Timestamp) -> Result<usize, HandleError> {
        let directory = self.recorder.directory();
        let found = match &hint.target {
            HintTarget::Entity(Entity::User(pk)) => Some(*pk),
            HintTarget::Entity(Entity::Group(id)) => return self.record_group(*id, hint).await,
            HintTarget::UserWithUuid(uuid) => directory.user_with_uuid(*uuid).await?.map(|user| user.pk),
            HintTarget::UserNamed(username) => directory.user_named(username).await?.map(|user| user.pk),
        };
        match found {
            Some(pk) => self.recorder.record_user(pk, hint, received).await,
            None => Ok(0),
        }
    }

    /// A group's hint does not say whose membership changed, so each member that differs gets a hint of their own.
    async fn record_group(&self, id: GroupId, hint: Hint) -> Result<usize, HandleError> {
        let cause = hint.cause.clone();
        // What is recorded is read first: a member who is recorded later only gets a needless look.
        let head = self.recorder.log().head().await.map_err(HandleError::Retry)?;
        self.members.wait_for(head).await.map_err(HandleError::Retry)?;
        let recorded = self.members.of(id);
        let members = self.recorder.record_group(id, hint).await?;
        let mut differing: Vec<UserPk> = recorded.symmetric_difference(&members).copied().collect();
        if !differing.is_empty() {
            let delivered = self.delivered().await.map_err(HandleError::Retry)?;
            self.hinted.leave_out_waiting(&mut differing, delivered);
        }
        let n_hints = differing.len();
        stream::iter(differing)
            .map(|pk| self.hint_member(pk, &cause))
            .buffer_unordered(MEMBER_HINTS_IN_FLIGHT)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(n_hints)
    }

    /// Up to where the inbox was delivered to some projector.
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
                self.hinted.note(pk, stored.sequence);
                Ok(())
            }
            // Stored before: the hint stands in the inbox all the same.
            Err(PublishError::Conflict) => Ok(()),
            Err(error) => Err(HandleError::Retry(anyhow::Error::new(error).context("hinting at a member"))),
        }
    }
}

/// Hints at members that wait in the inbox, as far as this process put them there.
///
/// Behind a backlog every hint about a group finds the same members to differ. A hint that waits will look at its
/// member later than now, so another one would be one more for each of the group's, and nothing else.
#[derive(Default)]
struct Hinted {
    sequences: Mutex<HashMap<UserPk, u64>>,
}

impl Hinted {
    /// The hint at this member has that sequence in the inbox.
    fn note(&self, pk: UserPk, sequence: u64) {
        let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sequences.entry(pk).or_default();
        *known = sequence.max(*known);
    }

    /// Leaves out whose hint waits. One that was delivered to somebody may have been looked at too early already.
    fn leave_out_waiting(&self, differing: &mut Vec<UserPk>, delivered: u64) {
        let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        sequences.retain(|_, sequence| *sequence > delivered);
        differing.retain(|pk| !sequences.contains_key(pk));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_whose_hint_waits_needs_no_other_one_until_it_was_delivered() {
        let hinted = Hinted::default();
        hinted.note(1, 10);
        hinted.note(2, 12);
        hinted.note(1, 11);
        let differing = |delivered| {
            let mut differing = vec![1, 2, 3];
            hinted.leave_out_waiting(&mut differing, delivered);
            differing
        };
        assert_eq!(differing(10), [3]);
        assert_eq!(differing(11), [1, 3]);
        assert_eq!(differing(12), [1, 2, 3]);
    }
}
