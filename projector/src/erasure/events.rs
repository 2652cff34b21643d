//! Writes the receipt to the event log and erases the user's events before it.

use anyhow::{Context, bail};
use domain::event::payload::{ErasedUser, Trigger, UserErased};
use domain::event::{Channel, Event, EventBody, EventType, StateAfter, schema_url};
use domain::key::{DeliveryId, Entity, UserPk};
use futures_util::{StreamExt, TryStreamExt, stream};
use runtime::clock;
use runtime::nats::Nats;
use store::history::History;
use store::log::{EventLog, StoredMessage};
use store::messages;
use store::publish::{PublishError, retry_delay};

use super::identifiers::Identifiers;
use super::inbox::MAX_CONCURRENT;

/// How many times to try to append a receipt that conflicts with other appends.
const MAX_TRIES: u32 = 20;

/// The triggering action in the receipt.
const ACTION: &str = "forget";

/// What the event log holds about users.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    pub(super) identifiers: Identifiers,
    /// Number of events, without receipts of erasures.
    pub(super) n_events: u64,
}

/// Reads everything that is recorded about a user, up to the existing event at sequence `until`.
pub(super) async fn read_recorded(log: &EventLog, pk: UserPk, until: u64) -> anyhow::Result<Recorded> {
    let mut history = History::new(log, Entity::User(pk), until);
    let mut recorded = Recorded { identifiers: Identifiers::of_key(pk), n_events: 0 };
    loop {
        let page = history.page().await?;
        if page.is_empty() {
            return Ok(recorded);
        }
        for message in &page {
            match decode(message)?.body.after() {
                StateAfter::User(user) | StateAfter::UserGone(user) => {
                    recorded.identifiers.add(user);
                    recorded.n_events += 1;
                }
                StateAfter::UserErased | StateAfter::Group(_) | StateAfter::GroupGone(_) => {}
            }
        }
    }
}

/// Fails on an unreadable event: its identifiers are needed to find other messages about the user.
fn decode(message: &StoredMessage) -> anyhow::Result<Event> {
    let decoded = message.decode().with_context(|| {
        format!(
            "event {} is unreadable, so the erasure could miss data: erase with the version that wrote it",
            message.sequence
        )
    });
    Ok(decoded?.event)
}

/// Appends the receipt, unless the user's newest event is one. Returns the sequence of the receipt.
///
/// Afterwards the recorded state is "gone", so no worker records the user unless the user is in authentik.
pub(super) async fn write_receipt(
    log: &EventLog,
    public_url: &str,
    cause: &DeliveryId,
    pk: UserPk,
) -> anyhow::Result<u64> {
    let entity = Entity::User(pk);
    for n_tries in 0..MAX_TRIES {
        let newest = log.newest(entity).await?;
        let newest = newest.with_context(|| format!("the newest event of user {pk} is gone"))?;
        let before = decode(&newest)?;
        if matches!(before.body, EventBody::UserErased(_)) {
            return Ok(newest.sequence);
        }
        let receipt = receipt(pk, newest.sequence, before.source, public_url, cause);
        match log.append(entity, newest.sequence, &[receipt]).await {
            Ok(stored) => return Ok(stored.sequence),
            Err(error @ PublishError::Refused { .. }) => return Err(error).context("writing the receipt"),
            // The newest event shows whether this receipt or another event was stored.
            Err(_) => tokio::time::sleep(retry_delay(n_tries)).await,
        }
    }
    bail!("the receipt of user {pk} conflicted with other events {MAX_TRIES} times: repeat the command")
}

fn receipt(pk: UserPk, position: u64, source: String, public_url: &str, cause: &DeliveryId) -> Event {
    let trigger = Trigger { action: ACTION.to_owned(), actor: None };
    Event {
        id: format!("{}-{position}.0", Entity::User(pk).id_prefix()),
        source,
        subject: Entity::User(pk),
        time: clock::now(),
        approximate: true,
        dataschema: schema_url(public_url, EventType::UserErased),
        causationid: cause.clone(),
        correlationid: None,
        channel: Channel::Api,
        body: EventBody::UserErased(UserErased { user: ErasedUser { pk }, trigger }),
    }
}

/// Erases the user's events before the receipt; later events belong to an existing user. Returns their
/// number.
pub(super) async fn erase(
    nats: &Nats,
    log: &EventLog,
    pk: UserPk,
    receipt: u64,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<u64> {
    let name = &nats.namespace.events_stream();
    let receipts = nats.namespace.event_subject(Entity::User(pk), EventType::UserErased);
    let mut history = History::new(log, Entity::User(pk), receipt);
    let mut n_erased = 0;
    loop {
        let page = history.page().await?;
        if page.is_empty() {
            return Ok(n_erased);
        }
        let events: Vec<u64> = page
            .iter()
            .filter(|message| message.subject != receipts)
            .map(|message| message.sequence)
            .collect();
        let erased = stream::iter(events).map(|sequence| messages::erase(nats, name, sequence));
        let erased: Vec<()> = erased.buffer_unordered(MAX_CONCURRENT).try_collect().await?;
        n_erased += erased.len() as u64;
        progress(n_erased);
    }
}
