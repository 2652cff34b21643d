//! The log of events: the receipt that stays, and the end of everything before it.

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

use super::inbox::AT_ONCE;
use super::traces::Traces;

/// How often a receipt that meets another append is tried.
const MAX_TRIES: u32 = 20;

/// The action that made us do it, in the receipt.
const ACTION: &str = "forget";

/// What is recorded of a user.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    pub(super) traces: Traces,
    /// How many events, less the receipts of erasures.
    pub(super) n_events: u64,
}

/// Reads everything that is recorded of a user up to an event that is there.
pub(super) async fn recorded(log: &EventLog, pk: UserPk, until: u64) -> anyhow::Result<Recorded> {
    let mut history = History::new(log, Entity::User(pk), until);
    let mut recorded = Recorded { traces: Traces::of_key(pk), n_events: 0 };
    loop {
        let page = history.page().await?;
        if page.is_empty() {
            return Ok(recorded);
        }
        for message in &page {
            match decode(message)?.body.after() {
                StateAfter::User(user) | StateAfter::UserGone(user) => {
                    recorded.traces.add(user);
                    recorded.n_events += 1;
                }
                StateAfter::UserErased | StateAfter::Group(_) | StateAfter::GroupGone(_) => {}
            }
        }
    }
}

/// Without knowing what it says of a user, what else mentions the user cannot be found.
fn decode(message: &StoredMessage) -> anyhow::Result<Event> {
    let decoded = message.decode().with_context(|| {
        format!(
            "event {} cannot be read, and nobody is erased unread: run the version that wrote it",
            message.sequence
        )
    });
    Ok(decoded?.event)
}

/// Records that a user is erased, unless that is the newest that is recorded of them. Returns the receipt's sequence.
///
/// From here on every worker knows the user as gone: nothing more is recorded of one whom authentik does not have.
pub(super) async fn write_receipt(
    log: &EventLog,
    public_url: &str,
    cause: &DeliveryId,
    pk: UserPk,
) -> anyhow::Result<u64> {
    let entity = Entity::User(pk);
    for n_tries in 0..MAX_TRIES {
        let newest = log.newest(entity).await?.context("the newest event of a user went away")?;
        let before = decode(&newest)?;
        if matches!(before.body, EventBody::UserErased(_)) {
            return Ok(newest.sequence);
        }
        let receipt = receipt(pk, newest.sequence, before.source, public_url, cause);
        match log.append(entity, newest.sequence, &[receipt]).await {
            Ok(stored) => return Ok(stored.sequence),
            // Whether it is stored or not, and who was faster: the newest event tells.
            Err(error @ PublishError::Refused { .. }) => return Err(error).context("writing the receipt"),
            Err(_) => tokio::time::sleep(retry_delay(n_tries)).await,
        }
    }
    bail!("the receipt of user {pk} met other events again and again: repeat the command")
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

/// Erases the events of a user before the receipt. What came after it belongs to somebody who exists.
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
        let erased: Vec<()> = erased.buffer_unordered(AT_ONCE).try_collect().await?;
        n_erased += erased.len() as u64;
        progress(n_erased);
    }
}
