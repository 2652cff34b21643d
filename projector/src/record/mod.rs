//! Carries out the rule: reads the log and the directory, and appends events.

pub(crate) mod guard;
mod import;
pub(crate) mod members;
mod source;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use domain::decide::RecordedState;
use domain::event::{Event, EventBody, Recorded, schema_url};
use domain::hint::{Cause, Hint};
use domain::key::{Entity, GroupId, UserPk};
use domain::rule::{Conflict, LogEnd, Rule, Step};
use domain::timestamp::Timestamp;
use runtime::clock;
use store::log::{EventLog, ReadFrom, StoredMessage};
use store::publish::{PublishError, retry_delay};

use crate::config::Envelope;
use crate::directory::{Directory, DirectoryError};
use crate::record::guard::{DeletionRefused, Guard};
use crate::record::source::{GroupSource, Source, StateOf, UserSource};

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
    /// authentik or NATS is unavailable or overloaded; the same hint will succeed later.
    #[error("authentik or NATS is unavailable; retry the hint later")]
    Retry(#[source] anyhow::Error),
    /// The URL or the token is wrong; every hint will fail until an operator corrects the configuration.
    #[error("authentik cannot be read with this configuration; correct it, then retry the hint")]
    Misconfigured(#[source] anyhow::Error),
    /// The circuit breaker is open: authentik was not asked about this hint.
    #[error("the circuit breaker for authentik is open; retry the hint after it closes")]
    CircuitOpen(#[source] anyhow::Error),
    /// The guard does not allow the deletion until an operator confirms it.
    #[error("the deletion is held back; an operator must confirm it")]
    DeletionRefused(#[source] anyhow::Error),
    /// Every retry would fail in the same way.
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

impl From<DeletionRefused> for HandleError {
    fn from(refused: DeletionRefused) -> Self {
        match refused {
            DeletionRefused::Directory(error) => error.into(),
            DeletionRefused::Store(error) => Self::Retry(error),
            DeletionRefused::OtherInstallation(_) | DeletionRefused::Brake { .. } => {
                Self::DeletionRefused(refused.into())
            }
        }
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

    /// Makes the log agree with authentik about a user. Returns how many events were appended.
    ///
    /// `received` is when the inbox stored the hint: every event that the hint caused is newer.
    pub(crate) async fn record_user(
        &self,
        pk: UserPk,
        hint: Hint,
        received: Timestamp,
    ) -> Result<usize, HandleError> {
        self.apply_rule(&mut UserSource(pk), hint, received).await
    }

    /// Makes the log agree with authentik about a group. Returns the direct members in authentik's last answer.
    pub(crate) async fn record_group(
        &self,
        id: GroupId,
        hint: Hint,
        received: Timestamp,
    ) -> Result<BTreeSet<UserPk>, HandleError> {
        let mut source = GroupSource::new(id);
        self.apply_rule(&mut source, hint, received).await?;
        Ok(source.members)
    }

    /// Returns how many events were appended.
    async fn apply_rule<S: Source>(
        &self,
        source: &mut S,
        hint: Hint,
        received: Timestamp,
    ) -> Result<usize, HandleError> {
        let (entity, cause) = (source.entity(), hint.cause.clone());
        let mut rule = Rule::new(source.about(hint));
        let mut step = rule.start();
        let mut n_conflicts = 0;
        loop {
            step = match step {
                Step::ReadLog => rule.log_read(self.log_end::<S>(entity).await?),
                Step::ReadSource => rule.source_read(source.read(&self.directory).await?),
                Step::SeekCause { until } => {
                    rule.cause_sought(self.is_cause_recorded(entity, &cause, received, until).await?)
                }
                Step::Append { position, events } => {
                    let events = self.events(entity, position, events, &cause);
                    rule.appended(self.append(entity, position, &events, &mut n_conflicts).await?)
                }
                Step::Done => return Ok(rule.n_appended()),
            };
        }
    }

    async fn log_end<S: Source>(&self, entity: Entity) -> Result<LogEnd<StateOf<S>>, HandleError> {
        let newest = self.log.newest(entity).await.map_err(HandleError::Retry)?;
        let Some(newest) = newest else { return Ok(LogEnd { position: 0, known: RecordedState::Nothing }) };
        let recorded = decode(&newest)?;
        Ok(LogEnd { position: recorded.sequence, known: S::recorded_state(&recorded.event.body) })
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
        n_conflicts: &mut u32,
    ) -> Result<Result<usize, Conflict>, HandleError> {
        if let Entity::User(pk) = entity
            && deletes_recorded_user(events)
        {
            self.guard.check_deletion(&self.directory, pk, clock::now()).await?;
        }
        match self.log.append(entity, position, events).await {
            Ok(_) => {
                count(events);
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
            // The events may be stored or not: the retried hint reads the log again.
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
