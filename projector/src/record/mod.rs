//! Carries out the rule: reads the log and the directory, and appends.

pub(crate) mod guard;
mod import;
pub(crate) mod members;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use domain::decide::RecordedState;
use domain::event::{Event, EventBody, Recorded, schema_url};
use domain::hint::{Cause, Hint};
use domain::key::{Entity, GroupId, UserPk};
use domain::rule::{AboutGroup, AboutUser, Conflict, LogEnd, Rule, Step};
use domain::timestamp::Timestamp;
use runtime::clock;
use store::log::{EventLog, ReadFrom, StoredMessage};
use store::publish::{PublishError, retry_delay};

use crate::directory::{Directory, DirectoryError};
use crate::record::guard::{Guard, Stopped};

pub(crate) use import::PageItem;

/// How often a conflict is tried again at once before the hint is put back.
const MAX_CONFLICTS: u32 = 20;

/// How many events are read at once when an event that a hint caused is sought.
const CAUSE_PAGE: usize = 256;

/// How far apart the clocks of two stream leaders may be.
const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// Why a hint is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandleError {
    /// authentik or NATS is away, or busy: the same hint will work later.
    #[error("for now")]
    Retry(#[source] anyhow::Error),
    /// The token is refused: nothing will work until somebody mends the configuration.
    #[error("until the configuration is mended")]
    Misconfigured(#[source] anyhow::Error),
    /// authentik does not answer others either: this hint was not even tried.
    #[error("until authentik answers")]
    NotAsked(#[source] anyhow::Error),
    /// It would be recorded as deleted, and that may not be: until an operator says so.
    #[error("until an operator confirms")]
    Stopped(#[source] anyhow::Error),
    /// No retry can help.
    #[error("for good")]
    Reject(#[source] anyhow::Error),
}

impl From<DirectoryError> for HandleError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Away(_) => Self::Retry(error.into()),
            DirectoryError::Forbidden(_) | DirectoryError::NotUnderstood(_) => {
                Self::Misconfigured(error.into())
            }
            DirectoryError::NotAsked { .. } => Self::NotAsked(error.into()),
        }
    }
}

impl From<Stopped> for HandleError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Directory(error) => error.into(),
            Stopped::Store(error) => Self::Retry(error),
            Stopped::OtherInstallation(_) | Stopped::Brake { .. } => Self::Stopped(stopped.into()),
        }
    }
}

/// What every envelope says of this installation.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) source: String,
    pub(crate) schema_base: String,
}

/// The rule with a directory and a log.
pub(crate) struct Recorder<D> {
    directory: D,
    log: EventLog,
    guard: Guard,
    envelope: Envelope,
}

impl<D: Directory> Recorder<D> {
    pub(crate) fn new(directory: D, log: EventLog, guard: Guard, envelope: Envelope) -> Self {
        Self { directory, log, guard, envelope }
    }

    pub(crate) fn directory(&self) -> &D {
        &self.directory
    }

    pub(crate) fn log(&self) -> &EventLog {
        &self.log
    }

    /// Makes the log agree with authentik about a user. Returns how many events that took.
    ///
    /// `received` is when the inbox stored the hint: what it caused cannot be older.
    pub(crate) async fn record_user(
        &self,
        pk: UserPk,
        hint: Hint,
        received: Timestamp,
    ) -> Result<usize, HandleError> {
        let entity = Entity::User(pk);
        let cause = hint.cause.clone();
        let received = ReadFrom::Time((received.to_offset_date_time() - CLOCK_SKEW).into());
        let mut rule = Rule::new(AboutUser { pk, hint });
        let mut step = rule.start();
        let mut n_conflicts = 0;
        loop {
            step = match step {
                Step::ReadLog => {
                    rule.log_read(self.log_end(entity, RecordedState::from_newest_of_user).await?)
                }
                Step::ReadSource => rule.source_read(self.directory.user(pk).await?),
                Step::SeekCause { until } => {
                    rule.cause_sought(self.seek_cause(entity, &cause, received, until).await?)
                }
                Step::Append { position, events } => {
                    rule.appended(self.append(entity, position, events, &cause, &mut n_conflicts).await?)
                }
                Step::Done => return Ok(rule.n_appended()),
            };
        }
    }

    /// Makes the log agree with authentik about a group. Returns its direct members as authentik last gave them.
    pub(crate) async fn record_group(
        &self,
        id: GroupId,
        hint: Hint,
    ) -> Result<BTreeSet<UserPk>, HandleError> {
        let entity = Entity::Group(id);
        let cause = hint.cause.clone();
        let mut rule = Rule::new(AboutGroup { hint });
        let mut step = rule.start();
        let mut members = BTreeSet::new();
        let mut n_conflicts = 0;
        loop {
            step = match step {
                Step::ReadLog => {
                    rule.log_read(self.log_end(entity, RecordedState::from_newest_of_group).await?)
                }
                Step::ReadSource => {
                    let group = self.directory.group(id).await?;
                    let (group, read) =
                        group.map_or((None, BTreeSet::new()), |group| (Some(group.group), group.members));
                    members = read;
                    rule.source_read(group)
                }
                // A group's hint carries no fact.
                Step::SeekCause { .. } => rule.cause_sought(true),
                Step::Append { position, events } => {
                    rule.appended(self.append(entity, position, events, &cause, &mut n_conflicts).await?)
                }
                Step::Done => return Ok(members),
            };
        }
    }

    async fn log_end<S>(
        &self,
        entity: Entity,
        recorded_state: fn(&EventBody) -> RecordedState<S>,
    ) -> Result<LogEnd<S>, HandleError> {
        let newest = self.log.newest(entity).await.map_err(HandleError::Retry)?;
        let Some(newest) = newest else {
            return Ok(LogEnd { position: 0, recorded: RecordedState::Nothing });
        };
        let event = decode(&newest)?;
        Ok(LogEnd { position: event.sequence, recorded: recorded_state(&event.event.body) })
    }

    /// Whether an event up to `until` was caused by this delivery. Only events since its arrival can be.
    async fn seek_cause(
        &self,
        entity: Entity,
        cause: &Cause,
        received: ReadFrom,
        until: u64,
    ) -> Result<bool, HandleError> {
        let filter = self.log.namespace().entity_filter(entity);
        let mut from = received;
        loop {
            let page = self.log.page(&filter, from, CAUSE_PAGE).await.map_err(HandleError::Retry)?;
            for message in &page {
                if decode(message)?.event.causationid == cause.delivery {
                    return Ok(true);
                }
            }
            match page.last() {
                Some(last) if last.sequence < until => from = ReadFrom::Sequence(last.sequence + 1),
                // Without any nothing was recorded since the hint arrived.
                Some(_) | None => return Ok(false),
            }
        }
    }

    async fn append(
        &self,
        entity: Entity,
        position: u64,
        bodies: Vec<EventBody>,
        cause: &Cause,
        n_conflicts: &mut u32,
    ) -> Result<Result<usize, Conflict>, HandleError> {
        if let Entity::User(pk) = entity
            && deletes_somebody_known(&bodies)
        {
            self.guard.judge(&self.directory, pk, clock::now()).await?;
        }
        let events = self.events(entity, position, bodies, cause);
        match self.log.append(entity, position, &events).await {
            Ok(_) => {
                count(&events);
                Ok(Ok(events.len()))
            }
            Err(PublishError::Conflict | PublishError::InFlight | PublishError::Busy)
                if *n_conflicts < MAX_CONFLICTS =>
            {
                tokio::time::sleep(retry_delay(*n_conflicts)).await;
                *n_conflicts += 1;
                Ok(Err(Conflict))
            }
            Err(error @ PublishError::Refused { code: 0, .. }) => {
                Err(HandleError::Reject(anyhow::Error::new(error).context("appending events")))
            }
            // Whether it is stored or not: the next pass sees.
            Err(error) => Err(HandleError::Retry(anyhow::Error::new(error).context("appending events"))),
        }
    }

    fn events(&self, entity: Entity, position: u64, bodies: Vec<EventBody>, cause: &Cause) -> Vec<Event> {
        let time = cause.occurred.unwrap_or_else(clock::now);
        let events = bodies.into_iter().enumerate().map(|(index, body)| Event {
            id: format!("{}-{position}.{index}", entity.id_prefix()),
            source: self.envelope.source.clone(),
            subject: entity,
            time,
            approximate: cause.occurred.is_none(),
            dataschema: schema_url(&self.envelope.schema_base, body.event_type()),
            causationid: cause.delivery.clone(),
            correlationid: cause.correlation.clone(),
            channel: cause.channel,
            body,
        });
        events.collect()
    }
}

fn count(events: &[Event]) {
    for event in events {
        metrics::counter!("projector_events_total", "type" => event.body.event_type().as_str()).increment(1);
    }
}

/// Whether somebody who was recorded as being there is recorded as deleted.
fn deletes_somebody_known(bodies: &[EventBody]) -> bool {
    let came_and_went = matches!(bodies.first(), Some(EventBody::UserRegistered(_)));
    !came_and_went && bodies.iter().any(|body| matches!(body, EventBody::UserDeleted(_)))
}

/// An event that this version cannot read was written by a newer one, or by somebody else.
fn decode(message: &StoredMessage) -> Result<Recorded, HandleError> {
    let decoded = message.decode().with_context(|| format!("event {} cannot be read", message.sequence));
    decoded.map_err(HandleError::Reject)
}
