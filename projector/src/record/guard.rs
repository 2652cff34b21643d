//! Prevents the recording of deletions because of a wrong answer of authentik.
//!
//! With a wrong URL, an empty database or a token with fewer rights, every user seems to be deleted. So a deletion is
//! recorded only while a known user still exists in authentik under the same uuid (the pin of the installation), and
//! only up to a limit of deletions per time window (the brake).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use domain::brake::Full;
use domain::decide::RecordedState;
use domain::key::{Entity, UserPk};
use runtime::CancellationToken;
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
use crate::record::brake::Brake;
use crate::record::members::Members;

/// How often readiness is updated: an operator sees a change within this time.
const POLL: Duration = Duration::from_secs(1);

const PIN_KEY: &str = "installation";

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

/// Decides whether deletions may be recorded. Clones share their state.
#[derive(Clone)]
pub(crate) struct Guard {
    nats: Nats,
    log: EventLog,
    brake: Brake,
    /// Why the installation was refused last; `None` after it was recognized.
    other_installation: Arc<Mutex<Option<String>>>,
}

impl Guard {
    pub(crate) fn new(nats: Nats, log: EventLog, members: Members) -> Self {
        let brake = Brake::new(nats.clone(), log.clone(), members);
        Self { nats, log, brake, other_installation: Arc::default() }
    }

    pub(crate) fn brake(&self) -> &Brake {
        &self.brake
    }

    /// Shows in readiness whether deletions are held back, until shutdown.
    pub(crate) async fn watch(
        self,
        directory: impl Directory,
        health: Health,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(POLL);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            match shutdown.run_until_cancelled(Box::pin(self.refresh(&directory))).await {
                Some(Ok(None)) => health.ok("deletions"),
                Some(Ok(Some(reason))) => health.failed("deletions", reason),
                Some(Err(error)) => tracing::debug!("cannot read the state of the brake: {error:#}"),
                None => break,
            }
        }
        Ok(())
    }

    /// Why deletions are held back; `None` if they are not.
    async fn refresh(&self, directory: &impl Directory) -> anyhow::Result<Option<String>> {
        self.brake.refresh().await?;
        if self.refused_installation().is_some() {
            // Another installation may be the pinned one again, without a deletion that would be checked.
            self.remember(&self.check_pin(directory).await);
        }
        Ok(self.refused_installation().or_else(|| self.brake.reason()))
    }

    fn refused_installation(&self) -> Option<String> {
        self.other_installation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, checked: &Result<(), Refusal>) {
        let refused = match checked {
            Ok(()) => None,
            Err(refusal @ Refusal::OtherInstallation(_)) => Some(refusal.to_string()),
            Err(Refusal::Brake { .. } | Refusal::Directory(_) | Refusal::Store(_)) => return,
        };
        *self.other_installation.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// Reserves a place for the deletion of this user. Returns whether the user had no place before.
    pub(crate) async fn reserve_deletion(
        &self,
        directory: &impl Directory,
        pk: UserPk,
    ) -> Result<bool, Refusal> {
        let checked = self.check_installation(directory, pk).await;
        self.remember(&checked);
        checked?;
        self.reserve_deletions(BTreeSet::from([pk])).await.map(|new| !new.is_empty())
    }

    /// Reserves places for all of these deletions or for none. Returns the users who had no place before.
    ///
    /// A sweep calls this before it records any of them: reserved one by one, the first ten would be recorded.
    pub(crate) async fn reserve_deletions(
        &self,
        users: BTreeSet<UserPk>,
    ) -> Result<BTreeSet<UserPk>, Refusal> {
        let reserved = self.brake.reserve(users).await?;
        reserved.map_err(|Full { room }| Refusal::Brake { room, n_users: self.brake.n_users() })
    }

    /// Fails if the brake has less room than for this number of deletions. Writes nothing.
    pub(crate) async fn check_room(&self, n_deletions: u64) -> Result<(), Refusal> {
        let room = self.brake.room().await?;
        if n_deletions <= room { Ok(()) } else { Err(Refusal::Brake { room, n_users: self.brake.n_users() }) }
    }

    /// Ends holding a user who exists, and frees the place that was reserved for their deletion.
    pub(crate) async fn keep_user(&self, pk: UserPk, has_unused_place: bool) -> anyhow::Result<()> {
        self.brake.release(pk).await?;
        if has_unused_place { self.brake.give_back(pk).await } else { Ok(()) }
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
}

async fn has_pinned_user(directory: &impl Directory, pin: &Pin) -> Result<bool, DirectoryError> {
    Ok(directory.user(pin.pk).await?.is_some_and(|user| Pin::of(user.pk, user.uuid) == *pin))
}

/// Lets the brake pass this number of deletions from now on; `by` is the primary key of the user who confirmed them.
pub async fn allow_deletions(nats: &Nats, n_deletions: u64, by: Option<UserPk>) -> anyhow::Result<()> {
    let brake = Brake::new(nats.clone(), EventLog::open(nats).await?, Members::default());
    brake.confirm(n_deletions, by).await
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
