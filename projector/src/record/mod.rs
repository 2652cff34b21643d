//! Carries out the rule: reads the log and the directory, and appends events.

pub(crate) mod brake;
pub(crate) mod guard;
mod import;
pub(crate) mod members;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use domain::decide::RecordedState;
use domain::event::{Event, EventBody, Recorded, schema_url};
use domain::hint::{Cause, Hint};
use domain::key::{Entity, UserPk};
use domain::rule::{AboutGroup, AboutUser, Conflict, LogEnd, Rule, Step, Subject};
use domain::snapshot::{Group, User};
use domain::timestamp::Timestamp;
use runtime::clock;
use store::log::{EventLog, ReadFrom, StoredMessage};
use store::publish::{PublishError, retry_delay};

use crate::config::Envelope;
use crate::directory::{Directory, DirectoryError};
use crate::record::guard::{Guard, Refusal};

pub(crate) use import::PageItem;

/// How many conflicts are retried immediately before the hint goes back to the inbox.
const MAX_CONFLICTS: u32 = 20;

/// How many events one read returns while searching for an event that a hint caused.
const CAUSE_PAGE: usize = 256;

/// The largest difference allowed between the clocks of two stream leaders.
const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// Why a hint was not recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandleError {
    #[error("authentik or NATS is unavailable; retry the hint later")]
    Retry(#[source] anyhow::Error),
    #[error("authentik cannot be read with this configuration; correct it, then retry the hint")]
    Misconfigured(#[source] anyhow::Error),
    #[error("the circuit breaker for authentik is open; retry the hint after it closes")]
    CircuitOpen(#[source] anyhow::Error),
    #[error("the deletion is held back; an operator must confirm it")]
    DeletionRefused(#[source] anyhow::Error),
    #[error("no retry can record this hint; set it aside as a dead letter")]
    Reject(#[source] anyhow::Error),
}

impl From<DirectoryError> for HandleError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Unavailable(_) => Self::Retry(error.into()),
            DirectoryError::Forbidden(_) | DirectoryError::UnexpectedAnswer(_) => {
                Self::Misconfigured(error.into())
            }
            DirectoryError::CircuitOpen { .. } => Self::CircuitOpen(error.into()),
        }
    }
}

impl From<Refusal> for HandleError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Directory(error) => error.into(),
            Refusal::Store(error) => Self::Retry(error),
            Refusal::OtherInstallation(_) | Refusal::Brake { .. } => Self::DeletionRefused(refusal.into()),
        }
    }
}

/// The result of the rule for one user or group.
pub(crate) struct Applied {
    /// How many events were appended.
    pub(crate) n_events: usize,
    /// The direct members of a group, from authentik's last answer.
    pub(crate) members: BTreeSet<UserPk>,
}

/// What one execution of the rule did so far.
#[derive(Default)]
struct Attempt {
    n_conflicts: u32,
    /// Whether this execution reserved a place for a deletion, and did not append that deletion.
    has_unused_place: bool,
}

/// A state in authentik, and the direct members if it is a group; `None` if it was deleted.
type Answer<S> = Result<Option<(S, BTreeSet<UserPk>)>, DirectoryError>;

/// How the rule reads a user or a group.
trait Source: Subject + Clone {
    /// The recorded state, from the newest event.
    fn recorded_state(newest: &EventBody) -> RecordedState<Self::State>;

    /// The state in authentik.
    async fn read(&self, directory: &impl Directory) -> Answer<Self::State>;
}

impl Source for AboutUser {
    fn recorded_state(newest: &EventBody) -> RecordedState<User> {
        RecordedState::from_newest_of_user(newest)
    }

    async fn read(&self, directory: &impl Directory) -> Answer<User> {
        Ok(directory.user(self.pk).await?.map(|user| (user, BTreeSet::new())))
    }
}

impl Source for AboutGroup {
    fn recorded_state(newest: &EventBody) -> RecordedState<Group> {
        RecordedState::from_newest_of_group(newest)
    }

    async fn read(&self, directory: &impl Directory) -> Answer<Group> {
        Ok(directory.group(self.id).await?.map(|answer| (answer.group, answer.members)))
    }
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

    /// Makes the log agree with authentik about a user or a group.
    ///
    /// `received` is when the inbox stored the hint: every event that the hint caused is newer.
    pub(crate) async fn record(
        &self,
        entity: Entity,
        hint: Hint,
        received: Timestamp,
    ) -> Result<Applied, HandleError> {
        let cause = hint.cause.clone();
        match entity {
            Entity::User(pk) => self.apply_rule(entity, AboutUser { pk, hint }, &cause, received).await,
            Entity::Group(id) => self.apply_rule(entity, AboutGroup { id, hint }, &cause, received).await,
        }
    }

    async fn apply_rule<S: Source>(
        &self,
        entity: Entity,
        source: S,
        cause: &Cause,
        received: Timestamp,
    ) -> Result<Applied, HandleError> {
        let mut rule = Rule::new(source.clone());
        let mut step = rule.start();
        let (mut exists, mut members, mut attempt) = (false, BTreeSet::new(), Attempt::default());
        loop {
            step = match step {
                Step::ReadLog => rule.log_read(self.log_end::<S>(entity).await?),
                Step::ReadSource => {
                    let (state, read_members) = source.read(&self.directory).await?.unzip();
                    exists = state.is_some();
                    members = read_members.unwrap_or_default();
                    rule.source_read(state)
                }
                Step::SeekCause { until } => {
                    rule.cause_sought(self.is_cause_recorded(entity, cause, received, until).await?)
                }
                Step::Append { position, events } => {
                    let events = self.events(entity, position, events, cause);
                    rule.appended(self.append(entity, position, &events, &mut attempt).await?)
                }
                Step::Done => {
                    if let Entity::User(pk) = entity
                        && exists
                    {
                        let kept = self.guard.keep_user(pk, attempt.has_unused_place).await;
                        kept.map_err(HandleError::Retry)?;
                    }
                    return Ok(Applied { n_events: rule.n_appended(), members });
                }
            };
        }
    }

    async fn log_end<S: Source>(&self, entity: Entity) -> Result<LogEnd<S::State>, HandleError> {
        let newest = self.log.newest(entity).await.map_err(HandleError::Retry)?;
        let Some(newest) = newest else {
            return Ok(LogEnd { position: 0, recorded: RecordedState::Nothing });
        };
        let recorded = decode(&newest)?;
        Ok(LogEnd { position: recorded.sequence, recorded: S::recorded_state(&recorded.event.body) })
    }

    /// Whether this delivery caused an event up to the sequence `until`. Only events since `received` are read.
    async fn is_cause_recorded(
        &self,
        entity: Entity,
        cause: &Cause,
        received: Timestamp,
        until: u64,
    ) -> Result<bool, HandleError> {
        let filter = self.log.namespace().entity_filter(entity);
        let mut from = ReadFrom::Time((received.to_offset_date_time() - CLOCK_SKEW).into());
        loop {
            let page = self.log.page(&filter, from, CAUSE_PAGE).await.map_err(HandleError::Retry)?;
            for message in &page {
                if decode(message)?.event.causationid == cause.delivery {
                    return Ok(true);
                }
            }
            match page.last() {
                Some(last) if last.sequence < until => from = ReadFrom::Sequence(last.sequence + 1),
                Some(_) | None => return Ok(false),
            }
        }
    }

    async fn append(
        &self,
        entity: Entity,
        position: u64,
        events: &[Event],
        attempt: &mut Attempt,
    ) -> Result<Result<usize, Conflict>, HandleError> {
        if let Entity::User(pk) = entity
            && deletes_recorded_user(events)
        {
            attempt.has_unused_place |= self.guard.reserve_deletion(&self.directory, pk).await?;
        }
        match self.log.append(entity, position, events).await {
            Ok(_) => {
                attempt.has_unused_place = false;
                count(events);
                Ok(Ok(events.len()))
            }
            Err(PublishError::Conflict | PublishError::InFlight | PublishError::Busy)
                if attempt.n_conflicts < MAX_CONFLICTS =>
            {
                tokio::time::sleep(retry_delay(attempt.n_conflicts)).await;
                attempt.n_conflicts += 1;
                Ok(Err(Conflict))
            }
            Err(error @ PublishError::Refused { code: 0, .. }) => {
                Err(HandleError::Reject(anyhow::Error::new(error).context("appending events")))
            }
            // The events may be stored nevertheless: the retried hint reads the log again.
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

/// Whether a user is recorded as deleted who was recorded as present before these events.
fn deletes_recorded_user(events: &[Event]) -> bool {
    let was_recorded = !matches!(events.first().map(|event| &event.body), Some(EventBody::UserRegistered(_)));
    was_recorded && events.iter().any(|event| matches!(event.body, EventBody::UserDeleted(_)))
}

/// Fails for an event that a newer version or another program wrote.
fn decode(message: &StoredMessage) -> Result<Recorded, HandleError> {
    let decoded = message.decode().with_context(|| format!("event {} cannot be read", message.sequence));
    decoded.map_err(HandleError::Reject)
}
