//! What stands between a wrong answer and a recorded deletion.
//!
//! A wrong URL, an empty database and a token with fewer rights all look as if everybody had been deleted. So a
//! deletion is recorded only while a user who is known to be there is found there (the installation's pin), and
//! only so many within a while (the brake).

use std::time::Duration;

use anyhow::Context;
use domain::decide::RecordedState;
use domain::key::{Entity, UserPk};
use domain::timestamp::Timestamp;
use runtime::health::Health;
use runtime::nats::Nats;
use serde::{Deserialize, Serialize};
use store::log::EventLog;
use store::publish::PublishError;
use store::views::{self, Entry};
use uuid::Uuid;

use crate::directory::{Directory, DirectoryError};
use crate::projections::fingerprint::Fingerprint;
use crate::record::members::Members;

/// The while in which deletions are counted.
const WINDOW: Duration = Duration::from_mins(10);

/// So many deletions are never too many.
const ALWAYS_ALLOWED: u64 = 10;

/// How often a confirmation is looked for where one is waited for.
const LOOK: Duration = Duration::from_secs(1);

const PIN_KEY: &str = "installation";
const ALLOWANCE_KEY: &str = "brake";

/// A user by whom the installation is known. Of the uuid only a hash: what is overwritten in a bucket stays in its files,
/// and an erasure could not reach it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pin {
    pk: UserPk,
    /// A pin with the uuid itself, of an earlier version, is nobody's: another user takes its place.
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

/// So many deletions since then were confirmed by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Allowance {
    deletions: u64,
    since: Timestamp,
}

/// Why a deletion is not recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    /// The user by whom the installation is known is not there.
    #[error(
        "this is another authentik than before, or an empty one: user {0} is not the one it was; nobody is recorded as deleted"
    )]
    OtherInstallation(UserPk),
    /// There would be too many.
    #[error(
        "the brake is on: no more than {room} users may be recorded as deleted now, of {n_users}, and there would be more; if they are gone, confirm it with `projector catch-up --allow-deletions N`"
    )]
    Brake {
        /// How many more may be deleted.
        room: u64,
        /// How many are there.
        n_users: u64,
    },
    /// authentik gave no answer.
    #[error("the installation cannot be checked")]
    Directory(#[from] DirectoryError),
    /// NATS gave no answer.
    #[error("the installation cannot be checked: {0:#}")]
    Store(anyhow::Error),
}

impl From<anyhow::Error> for Stopped {
    fn from(error: anyhow::Error) -> Self {
        Self::Store(error)
    }
}

/// Judges deletions. Clones share what they know.
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

    /// Whether this user may be recorded as deleted now. Readiness says why not.
    pub(crate) async fn judge(
        &self,
        directory: &impl Directory,
        pk: UserPk,
        now: Timestamp,
    ) -> Result<(), Stopped> {
        let judged = self.weigh(directory, pk, now).await;
        match &judged {
            Ok(()) => self.health.ok("deletions"),
            Err(stopped @ (Stopped::OtherInstallation(_) | Stopped::Brake { .. } | Stopped::Store(_))) => {
                self.health.failed("deletions", stopped.to_string());
            }
            Err(Stopped::Directory(_)) => {}
        }
        judged
    }

    async fn weigh(&self, directory: &impl Directory, pk: UserPk, now: Timestamp) -> Result<(), Stopped> {
        self.check_installation(directory, pk).await?;
        self.check_room(1, now).await
    }

    /// Whether so many users may be recorded as deleted now, or nobody. Readiness says why not.
    ///
    /// Who knows of many asks this first: judged one by one, the first ten would be recorded.
    pub(crate) async fn foresee(&self, n_deletions: u64, now: Timestamp) -> Result<(), Stopped> {
        let foreseen = self.check_room(n_deletions, now).await;
        match &foreseen {
            Err(stopped @ Stopped::Brake { .. }) => self.health.failed("deletions", stopped.to_string()),
            // Everybody is there again: what seemed to be gone was not.
            Ok(()) if n_deletions == 0 => self.health.ok("deletions"),
            Ok(()) | Err(_) => {}
        }
        foreseen
    }

    async fn check_room(&self, n_deletions: u64, now: Timestamp) -> Result<(), Stopped> {
        let room = self.room(now).await?;
        if n_deletions <= room {
            Ok(())
        } else {
            Err(Stopped::Brake { room, n_users: self.members.n_users() })
        }
    }

    /// How many more users may be recorded as deleted now.
    pub(crate) async fn room(&self, now: Timestamp) -> anyhow::Result<u64> {
        let allowed = ALWAYS_ALLOWED.max(self.members.n_users() / 100);
        let room = allowed.saturating_sub(self.n_deleted_since(minus(now, WINDOW)).await?);
        let Some(Allowance { deletions, since }) = self.allowance().await?.map(|entry| entry.value) else {
            return Ok(room);
        };
        Ok(room.max(deletions.saturating_sub(self.n_deleted_since(since).await?)))
    }

    /// Whether this is the authentik that it was; where nobody was swept yet, any is. Nothing is written.
    pub(crate) async fn recognise(&self, directory: &impl Directory) -> Result<(), Stopped> {
        let Some(pin) = self.pinned().await? else { return Ok(()) };
        let pk = pin.value.pk;
        let is_there = directory.user(pk).await?.is_some_and(|user| Pin::of(user.pk, user.uuid) == pin.value);
        if is_there || self.another(directory, pk).await?.is_some() {
            Ok(())
        } else {
            Err(Stopped::OtherInstallation(pk))
        }
    }

    /// Which of an operator's confirmations is the newest one.
    pub(crate) async fn confirmation(&self) -> anyhow::Result<u64> {
        Ok(self.allowance().await?.map_or(0, |allowance| allowance.revision))
    }

    /// Waits until an operator confirms something after that.
    pub(crate) async fn confirmed_after(&self, confirmation: u64) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.confirmation().await {
                Ok(newest) if newest == confirmation => {}
                Ok(_) => return,
                Err(error) => tracing::debug!("cannot see what is confirmed now: {error:#}"),
            }
        }
    }

    /// Notes by whom the installation is known, where that is not noted yet: the first one of those given.
    pub(crate) async fn pin(&self, users: impl Iterator<Item = (UserPk, Uuid)>) -> anyhow::Result<()> {
        let Some((pk, uuid)) = users.into_iter().next() else { return Ok(()) };
        match views::write(&self.nats, &self.nats.namespace.meta_bucket(), PIN_KEY, &Pin::of(pk, uuid), 0)
            .await
        {
            Ok(_) => {
                tracing::info!("this installation of authentik is known by user {pk} from now on");
                Ok(())
            }
            Err(PublishError::Conflict) => Ok(()),
            Err(error) => Err(error).context("noting by whom the installation is known"),
        }
    }

    /// Whether this is the authentik that it was, where one user of it may be gone.
    pub(crate) async fn check_installation(
        &self,
        directory: &impl Directory,
        deleted: UserPk,
    ) -> Result<(), Stopped> {
        let Some(pin) = self.pinned().await? else {
            // Nobody was swept yet: then somebody else who is recorded must be found.
            return self.pin_anew(directory, deleted, 0).await;
        };
        if pin.value.pk == deleted {
            return self.pin_anew(directory, deleted, pin.revision).await;
        }
        let found = directory.user(pin.value.pk).await?;
        if found.is_some_and(|user| Pin::of(user.pk, user.uuid) == pin.value) {
            return Ok(());
        }
        // The pin may have been deleted a moment ago, and its own deletion not be recorded yet.
        self.pin_anew(directory, pin.value.pk, pin.revision).await
    }

    /// Another user who is recorded and is found there under the same uuid takes the place of the pin.
    async fn pin_anew(&self, directory: &impl Directory, gone: UserPk, revision: u64) -> Result<(), Stopped> {
        let pin = self.another(directory, gone).await?.ok_or(Stopped::OtherInstallation(gone))?;
        let meta = self.nats.namespace.meta_bucket();
        match views::write(&self.nats, &meta, PIN_KEY, &pin, revision).await {
            Ok(_) | Err(PublishError::Conflict) => Ok(()),
            Err(error) => Err(Stopped::Store(error.into())),
        }
    }

    async fn another(&self, directory: &impl Directory, gone: UserPk) -> Result<Option<Pin>, Stopped> {
        let page = directory.users(1, None).await?;
        for user in page.items.into_iter().filter(|user| user.pk != gone) {
            if self.recorded_uuid(user.pk).await? == Some(user.uuid) {
                return Ok(Some(Pin::of(user.pk, user.uuid)));
            }
        }
        Ok(None)
    }

    async fn pinned(&self) -> anyhow::Result<Option<Entry<Pin>>> {
        views::read(&self.nats, &self.nats.namespace.meta_bucket(), PIN_KEY).await
    }

    async fn allowance(&self) -> anyhow::Result<Option<Entry<Allowance>>> {
        views::read(&self.nats, &self.nats.namespace.meta_bucket(), ALLOWANCE_KEY).await
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
        let filter = self.log.namespace().events_filter(None, Some(domain::event::EventType::UserDeleted));
        self.log.count_since(&filter, since).await
    }
}

/// Lets so many more deletions be recorded, from now on.
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
    fn a_pin_of_an_earlier_version_is_read_and_is_nobodys() {
        let uuid = Uuid::from_u128(7);
        let earlier: Pin = serde_json::from_value(serde_json::json!({"pk": 3, "uuid": uuid})).unwrap();
        assert_ne!(earlier, Pin::of(3, uuid));
    }
}
