//! Finds the users that an operator selects, by their recorded state.

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

/// Receipts per page.
const PAGE: usize = 256;

/// Selects one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserSelector {
    /// By authentik's primary key.
    Key(UserPk),
    /// By uuid, with or without dashes.
    Uuid(Uuid),
    /// By recorded username.
    Username(String),
}

impl FromStr for UserSelector {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let uuid = text.parse().map(Self::Uuid);
        let key = || text.parse().map(Self::Key);
        Ok(uuid.or_else(|_| key()).unwrap_or_else(|_| Self::Username(text.to_owned())))
    }
}

impl fmt::Display for UserSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(pk) => write!(f, "the primary key {pk}"),
            Self::Uuid(uuid) => write!(f, "the uuid {uuid}"),
            Self::Username(username) => write!(f, "the username {username:?}"),
        }
    }
}

impl UserSelector {
    fn matches(&self, user: &User) -> bool {
        match self {
            Self::Key(pk) => user.pk == *pk,
            Self::Uuid(uuid) => !uuid.is_nil() && user.uuid == *uuid,
            Self::Username(username) => !username.is_empty() && user.username == *username,
        }
    }
}

/// Finds the selected users. Fails if a selector matches no user, or more than one.
pub(super) async fn find(
    log: &EventLog,
    users: &Replica<Users>,
    selectors: &[UserSelector],
) -> anyhow::Result<BTreeSet<UserPk>> {
    let mut found = BTreeSet::new();
    for selector in selectors {
        if let UserSelector::Key(pk) = selector {
            let newest = log.newest(Entity::User(*pk)).await?;
            newest.with_context(|| {
                format!("nothing is recorded about user {pk}: check the primary key and NATS_NAMESPACE")
            })?;
            found.insert(*pk);
            continue;
        }
        let mut candidates: BTreeSet<UserPk> = users.read(|views| {
            let users = views.iter().filter_map(|(_, view)| view.user.as_ref());
            users.filter(|user| selector.matches(user)).map(|user| user.pk).collect()
        });
        candidates.extend(partly_erased(log, selector).await?);
        found.insert(exactly_one(selector, &candidates)?);
    }
    Ok(found)
}

fn exactly_one(selector: &UserSelector, candidates: &BTreeSet<UserPk>) -> anyhow::Result<UserPk> {
    let mut all = candidates.iter();
    match (all.next(), all.next()) {
        (Some(pk), None) => Ok(*pk),
        (None, _) => bail!(
            "no user is recorded with {selector}: give the primary key that the user has in authentik; it also \
             repeats an interrupted `forget`"
        ),
        (Some(_), Some(_)) => {
            let keys: Vec<_> = candidates.iter().map(ToString::to_string).collect();
            bail!(
                "users {} are all recorded with {selector}: give the primary key of the user to erase",
                keys.join(", ")
            )
        }
    }
}

/// Matching users whose erasure was interrupted: they are in no view, but some of their events remain.
async fn partly_erased(log: &EventLog, selector: &UserSelector) -> anyhow::Result<BTreeSet<UserPk>> {
    let receipts = log.namespace().events_filter(None, Some(EventType::UserErased));
    let mut found = BTreeSet::new();
    let mut next = 1;
    loop {
        let page = log.page(&receipts, ReadFrom::Sequence(next), PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        next = last.sequence + 1;
        for receipt in page.iter().filter_map(|message| message.decode().ok()) {
            if let Entity::User(pk) = receipt.event.subject
                && matched(log, pk, receipt.sequence, selector).await?
            {
                found.insert(pk);
            }
        }
    }
}

/// Whether the user matched the selector in an event up to the sequence `until`.
async fn matched(log: &EventLog, pk: UserPk, until: u64, selector: &UserSelector) -> anyhow::Result<bool> {
    let mut history = History::new(log, Entity::User(pk), until);
    loop {
        let page = history.page().await?;
        if page.is_empty() {
            return Ok(false);
        }
        let is_match =
            page.iter().filter_map(|message| message.decode().ok()).any(|recorded| {
                match recorded.event.body.after() {
                    StateAfter::User(user) | StateAfter::UserGone(user) => selector.matches(user),
                    StateAfter::UserErased | StateAfter::Group(_) | StateAfter::GroupGone(_) => false,
                }
            });
        if is_match {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_key_and_a_uuid_may_omit_its_dashes() {
        let uuid = Uuid::from_u128(7);
        for (text, selector) in [
            ("42".to_owned(), UserSelector::Key(42)),
            (uuid.to_string(), UserSelector::Uuid(uuid)),
            (uuid.simple().to_string(), UserSelector::Uuid(uuid)),
            ("mary".to_owned(), UserSelector::Username("mary".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(selector), "{text}");
        }
    }

    #[test]
    fn an_empty_username_and_the_nil_uuid_match_no_partially_recorded_user() {
        let partial = User::partial(7, "Mary".into());
        for text in ["", "00000000-0000-0000-0000-000000000000"] {
            let Ok(selector) = text.parse::<UserSelector>();
            assert!(!selector.matches(&partial), "{text}");
        }
    }
}
