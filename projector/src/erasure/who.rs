//! Who is meant, by what is recorded.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail};
use domain::event::{EventType, StateAfter};
use domain::key::{Entity, UserPk};
use domain::snapshot::User;
use domain::view::users::Users;
use store::history::History;
use store::log::{EventLog, ReadFrom};
use store::replica::Replica;
use uuid::Uuid;

/// How many receipts are read at once.
const PAGE: usize = 256;

/// How an operator names a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By authentik's primary key.
    Key(UserPk),
    /// By uuid, with or without dashes.
    Uuid(Uuid),
    /// By username, as it is recorded.
    Username(String),
}

impl FromStr for Named {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let uuid = text.parse().map(Self::Uuid);
        let key = || text.parse().map(Self::Key);
        Ok(uuid.or_else(|_| key()).unwrap_or_else(|_| Self::Username(text.to_owned())))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(pk) => write!(f, "the primary key {pk}"),
            Self::Uuid(uuid) => write!(f, "the uuid {uuid}"),
            Self::Username(username) => write!(f, "the username {username:?}"),
        }
    }
}

impl Named {
    fn is(&self, user: &User) -> bool {
        match self {
            Self::Key(pk) => user.pk == *pk,
            Self::Uuid(uuid) => !uuid.is_nil() && user.uuid == *uuid,
            Self::Username(username) => !username.is_empty() && user.username == *username,
        }
    }
}

/// Finds each of those who are named; fails where it is not certain who is meant.
pub(super) async fn find(
    log: &EventLog,
    users: &Replica<Users>,
    named: &[Named],
) -> anyhow::Result<BTreeSet<UserPk>> {
    let mut found = BTreeSet::new();
    for name in named {
        if let Named::Key(pk) = name {
            let newest = log.newest(Entity::User(*pk)).await?;
            newest.with_context(|| {
                format!("nothing is recorded of user {pk}: check the primary key, and NATS_NAMESPACE")
            })?;
            found.insert(*pk);
            continue;
        }
        let mut candidates: BTreeSet<UserPk> = users.read(|views| {
            let users = views.iter().filter_map(|(_, view)| view.user.as_ref());
            users.filter(|user| name.is(user)).map(|user| user.pk).collect()
        });
        candidates.extend(half_erased(log, name).await?);
        found.insert(the_only(name, &candidates)?);
    }
    Ok(found)
}

fn the_only(name: &Named, candidates: &BTreeSet<UserPk>) -> anyhow::Result<UserPk> {
    let mut all = candidates.iter();
    match (all.next(), all.next()) {
        (Some(pk), None) => Ok(*pk),
        (None, _) => bail!(
            "nobody is recorded under {name}: give the primary key that the user has in authentik; it also repeats \
             a `forget` that was cut off"
        ),
        (Some(_), Some(_)) => {
            let keys: Vec<_> = candidates.iter().map(ToString::to_string).collect();
            bail!(
                "users {} are all recorded under {name}: give the primary key of the one who is meant",
                keys.join(", ")
            )
        }
    }
}

/// Users of that name whose erasure was cut off: views have them no longer, but some of their events are left.
async fn half_erased(log: &EventLog, name: &Named) -> anyhow::Result<BTreeSet<UserPk>> {
    let receipts = log.namespace().events_filter(None, Some(EventType::UserErased));
    let mut found = BTreeSet::new();
    let mut next = 1;
    loop {
        let page = log.page(&receipts, ReadFrom::Sequence(next), PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        next = last.sequence + 1;
        for receipt in page.iter().filter_map(|message| message.decode().ok()) {
            if let Entity::User(pk) = receipt.event.subject
                && was_recorded_as(log, pk, receipt.sequence, name).await?
            {
                found.insert(pk);
            }
        }
    }
}

async fn was_recorded_as(log: &EventLog, pk: UserPk, until: u64, name: &Named) -> anyhow::Result<bool> {
    let mut history = History::new(log, Entity::User(pk), until);
    loop {
        let page = history.page().await?;
        if page.is_empty() {
            return Ok(false);
        }
        let is_named =
            page.iter().filter_map(|message| message.decode().ok()).any(|recorded| {
                match recorded.event.body.after() {
                    StateAfter::User(user) | StateAfter::UserGone(user) => name.is(user),
                    StateAfter::UserErased | StateAfter::Group(_) | StateAfter::GroupGone(_) => false,
                }
            });
        if is_named {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_key_and_a_uuid_is_one_with_or_without_dashes() {
        let uuid = Uuid::from_u128(7);
        for (text, named) in [
            ("42".to_owned(), Named::Key(42)),
            (uuid.to_string(), Named::Uuid(uuid)),
            (uuid.simple().to_string(), Named::Uuid(uuid)),
            ("mary".to_owned(), Named::Username("mary".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(named), "{text}");
        }
    }

    #[test]
    fn somebody_of_whom_hardly_anything_is_known_has_no_name() {
        let partial = User::partial(7, "Mary".into());
        for text in ["", "00000000-0000-0000-0000-000000000000"] {
            let Ok(named) = text.parse::<Named>();
            assert!(!named.is(&partial), "{text}");
        }
    }
}
