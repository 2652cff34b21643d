//! Prevents the recording of deletions because of a wrong answer of authentik.
//!
//! With a wrong URL, an empty database or a token with fewer rights, every user seems to be deleted. So a deletion is
//! recorded only while a known user still exists in authentik under the same uuid (the pin of the installation), and
//! only up to a limit of deletions per time window (the brake).

use std::time::Duration;

use anyhow::Context;
use domain::decide::RecordedState;
use domain::event::EventType;
use domain::key::{Entity, UserPk};
use domain::timestamp::Timestamp;
use runtime::health::Health;
use runtime::nats::Nats;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::log::EventLog;
use store::publish::PublishError;
use store::views::{self, Entry};
use uuid::Uuid;

use crate::directory::{Directory, DirectoryError};
use crate::fingerprint::Fingerprint;
use crate::record::members::Members;

/// The time window in which the brake counts deletions.
const WINDOW: Duration = Duration::from_mins(10);

/// The brake allows this many deletions per window, or 1 % of all users if that is more.
const ALWAYS_ALLOWED: u64 = 10;

/// How often to check whether an operator confirmed the deletions.
const CONFIRMATION_POLL: Duration = Duration::from_secs(1);

const PIN_KEY: &str = "installation";
const ALLOWANCE_KEY: &str = "brake";

/// The user that identifies the installation of authentik.
///
/// The pin has only a hash of the uuid: the files of a bucket keep overwritten values, where no erasure reaches them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pin {
    pk: UserPk,
    /// Pins of earlier versions hold the uuid itself. They match no user, so another user replaces them.
    #[serde(alias = "uuid")]
    uuid_sha256: String,
}

impl Pin {
    fn of(pk: UserPk, uuid: Uuid) -> Self {
        let mut fingerprint = Fingerprint::new();
        fingerprint.add("uuid", uuid.as_bytes());
        Self { pk, uuid_sha256: fingerprint.finish() }
    }
}

/// An operator confirmed this number of deletions, counted from `since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Allowance {
    deletions: u64,
    since: Timestamp,
}

/// Why a deletion is not recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The pinned user does not exist in authentik under the pinned uuid.
    #[error(
        "this is a different authentik than before, or an empty one: user {0} is missing or has another uuid, so no deletion is recorded; check AUTHENTIK_URL"
    )]
    OtherInstallation(UserPk),
    /// More users are gone than the brake allows: it leaves `room` for further deletions.
    #[error(
        "the brake is on: of {n_users} users, at most {room} more may be recorded as deleted now, and more than that are gone; if this is intended, confirm it with `projector catch-up --allow-deletions N`"
    )]
    Brake { room: u64, n_users: u64 },
    #[error("the installation of authentik cannot be checked")]
    Directory(#[from] DirectoryError),
    #[error("the installation of authentik cannot be checked: {0:#}")]
    Store(anyhow::Error),
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::Store(error)
    }
}

/// Decides whether deletions may be recorded.
#[derive(Clone)]
pub(crate) struct Guard {
    nats: Nats,
    log: EventLog,
    members: Members,
    health: Health,
}

impl Guard {
    pub(crate) fn new(nats: Nats, log: EventLog, members: Members, health: Health) -> Self {
        Self { nats, log, members, health }
    }

    /// Whether this user may be recorded as deleted now. Readiness shows the reason of a refusal.
    pub(crate) async fn check_deletion(
        &self,
        directory: &impl Directory,
        pk: UserPk,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let checked = match self.check_installation(directory, pk).await {
            Ok(()) => self.check_room(1, now).await,
            refused => refused,
        };
        match &checked {
            Ok(()) => self.health.ok("deletions"),
            Err(refusal @ (Refusal::OtherInstallation(_) | Refusal::Brake { .. } | Refusal::Store(_))) => {
                self.health.failed("deletions", refusal.to_string());
            }
            Err(Refusal::Directory(_)) => {}
        }
        checked
    }

    /// Whether all of these deletions may be recorded now. Readiness shows the reason of a refusal.
    ///
    /// A sweep calls this before it records any of them: checked one by one, the first ten would be recorded.
    pub(crate) async fn check_deletions(&self, n_deletions: u64, now: Timestamp) -> Result<(), Refusal> {
        let checked = self.check_room(n_deletions, now).await;
        match &checked {
            Err(refusal @ Refusal::Brake { .. }) => {
                self.health.failed("deletions", refusal.to_string());
            }
            // Every recorded user exists, so an earlier refusal is settled.
            Ok(()) if n_deletions == 0 => self.health.ok("deletions"),
            Ok(()) | Err(_) => {}
        }
        checked
    }

    async fn check_room(&self, n_deletions: u64, now: Timestamp) -> Result<(), Refusal> {
        let room = self.room(now).await?;
        if n_deletions <= room {
            Ok(())
        } else {
            Err(Refusal::Brake { room, n_users: self.members.n_users() })
        }
    }

    /// How many more users may be recorded as deleted now.
    pub(crate) async fn room(&self, now: Timestamp) -> anyhow::Result<u64> {
        let allowed = ALWAYS_ALLOWED.max(self.members.n_users() / 100);
        let room = allowed.saturating_sub(self.n_deleted_since(minus(now, WINDOW)).await?);
        let allowance = self.read::<Allowance>(ALLOWANCE_KEY).await?;
        let Some(Allowance { deletions, since }) = allowance.map(|entry| entry.value) else {
            return Ok(room);
        };
        Ok(room.max(deletions.saturating_sub(self.n_deleted_since(since).await?)))
    }

    /// Fails if this is a different installation of authentik than the pinned one. Without a pin, every installation
    /// passes. Writes nothing.
    pub(crate) async fn check_pin(&self, directory: &impl Directory) -> Result<(), Refusal> {
        let Some(pin) = self.read::<Pin>(PIN_KEY).await? else { return Ok(()) };
        let pk = pin.value.pk;
        if has_pinned_user(directory, &pin.value).await? || self.new_pin(directory, pk).await?.is_some() {
            Ok(())
        } else {
            Err(Refusal::OtherInstallation(pk))
        }
    }

    /// The revision of the newest confirmation by an operator; 0 if there is none.
    pub(crate) async fn confirmation(&self) -> anyhow::Result<u64> {
        Ok(self.read::<Allowance>(ALLOWANCE_KEY).await?.map_or(0, |allowance| allowance.revision))
    }

    /// Waits until an operator confirms something after the given confirmation.
    pub(crate) async fn confirmed_after(&self, confirmation: u64) {
        loop {
            tokio::time::sleep(CONFIRMATION_POLL).await;
            match self.confirmation().await {
                Ok(newest) if newest == confirmation => {}
                Ok(_) => return,
                Err(error) => tracing::debug!("cannot read the confirmed deletions: {error:#}"),
            }
        }
    }

    /// Pins the first of these users, unless a user is pinned already.
    pub(crate) async fn pin(&self, users: impl Iterator<Item = (UserPk, Uuid)>) -> anyhow::Result<()> {
        let Some((pk, uuid)) = users.into_iter().next() else { return Ok(()) };
        match views::write(&self.nats, &self.nats.namespace.meta_bucket(), PIN_KEY, &Pin::of(pk, uuid), 0)
            .await
        {
            Ok(_) => {
                tracing::info!("user {pk} identifies this installation of authentik from now on");
                Ok(())
            }
            Err(PublishError::Conflict) => Ok(()),
            Err(error) => Err(error).context("storing the user that identifies the installation"),
        }
    }

    /// Fails if this is a different installation of authentik than the pinned one. `deleted` does not identify it.
    ///
    /// Replaces the pin if its user was deleted.
    pub(crate) async fn check_installation(
        &self,
        directory: &impl Directory,
        deleted: UserPk,
    ) -> Result<(), Refusal> {
        let Some(pin) = self.read::<Pin>(PIN_KEY).await? else {
            // Before the first sweep, any other recorded user identifies the installation.
            return self.replace_pin(directory, deleted, 0).await;
        };
        if pin.value.pk == deleted {
            return self.replace_pin(directory, deleted, pin.revision).await;
        }
        if has_pinned_user(directory, &pin.value).await? {
            return Ok(());
        }
        // The pinned user may have been deleted a moment ago, before that deletion is recorded.
        self.replace_pin(directory, pin.value.pk, pin.revision).await
    }

    async fn replace_pin(
        &self,
        directory: &impl Directory,
        deleted: UserPk,
        revision: u64,
    ) -> Result<(), Refusal> {
        let pin = self.new_pin(directory, deleted).await?.ok_or(Refusal::OtherInstallation(deleted))?;
        let meta = self.nats.namespace.meta_bucket();
        match views::write(&self.nats, &meta, PIN_KEY, &pin, revision).await {
            Ok(_) | Err(PublishError::Conflict) => Ok(()),
            Err(error) => Err(Refusal::Store(error.into())),
        }
    }

    /// A user other than `deleted` that exists in authentik under the recorded uuid.
    async fn new_pin(&self, directory: &impl Directory, deleted: UserPk) -> Result<Option<Pin>, Refusal> {
        let page = directory.users(1, None).await?;
        for user in page.items.into_iter().filter(|user| user.pk != deleted) {
            if self.recorded_uuid(user.pk).await? == Some(user.uuid) {
                return Ok(Some(Pin::of(user.pk, user.uuid)));
            }
        }
        Ok(None)
    }

    async fn read<T: DeserializeOwned>(&self, key: &str) -> anyhow::Result<Option<Entry<T>>> {
        views::read(&self.nats, &self.nats.namespace.meta_bucket(), key).await
    }

    async fn recorded_uuid(&self, pk: UserPk) -> anyhow::Result<Option<Uuid>> {
        let Some(newest) = self.log.newest(Entity::User(pk)).await? else { return Ok(None) };
        let Ok(event) = newest.decode() else { return Ok(None) };
        Ok(match RecordedState::from_newest_of_user(&event.event.body) {
            RecordedState::Present(user) => Some(user.uuid),
            RecordedState::Nothing | RecordedState::Gone => None,
        })
    }

    async fn n_deleted_since(&self, since: Timestamp) -> anyhow::Result<u64> {
        let filter = self.log.namespace().events_filter(None, Some(EventType::UserDeleted));
        self.log.count_since(&filter, since).await
    }
}

async fn has_pinned_user(directory: &impl Directory, pin: &Pin) -> Result<bool, DirectoryError> {
    Ok(directory.user(pin.pk).await?.is_some_and(|user| Pin::of(user.pk, user.uuid) == *pin))
}

/// Lets the brake pass this number of deletions from now on.
pub async fn allow_deletions(nats: &Nats, deletions: u64, now: Timestamp) -> anyhow::Result<()> {
    let meta = nats.namespace.meta_bucket();
    let revision =
        views::read::<Allowance>(nats, &meta, ALLOWANCE_KEY).await?.map_or(0, |entry| entry.revision);
    let allowance = Allowance { deletions, since: now };
    views::write(nats, &meta, ALLOWANCE_KEY, &allowance, revision).await.context("allowing deletions")?;
    Ok(())
}

fn minus(time: Timestamp, duration: Duration) -> Timestamp {
    (time.to_offset_date_time() - duration).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_of_an_earlier_version_is_readable_and_matches_no_user() {
        let uuid = Uuid::from_u128(7);
        let earlier: Pin = serde_json::from_value(serde_json::json!({"pk": 3, "uuid": uuid})).unwrap();
        assert_ne!(earlier, Pin::of(3, uuid));
    }
}
