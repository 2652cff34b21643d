//! Records deletions: finds recorded users and groups that no page listed, unless the guard holds them back.

use std::collections::BTreeSet;

use domain::key::{Entity, GroupId, UserPk};
use futures_util::future::try_join_all;

use super::pass::{AT_ONCE, Compared, Walk};
use super::report::Pass;
use super::{Mode, Progress, Stage, Sweep};
use crate::directory::Directory;
use crate::record::guard::Refusal;

/// The users that authentik confirmed as deleted.
#[derive(Default)]
struct Gone {
    users: Vec<UserPk>,
    /// How many users were not checked, because the brake was exceeded already.
    n_unchecked: usize,
}

impl<D: Directory> Sweep<D> {
    /// Checks each recorded user and group that no page listed: shifted pages can hide one that still exists.
    pub(super) async fn record_missing(
        &self,
        walk: &Walk,
        pass: &mut Pass,
        (listed_users, listed_groups): (BTreeSet<UserPk>, BTreeSet<GroupId>),
        progress: Progress<'_>,
    ) -> anyhow::Result<()> {
        let users: BTreeSet<UserPk> = walk.users.read(|views| {
            let present = views.iter().filter_map(|(_, view)| Some(view.present()?.pk));
            present.filter(|pk| !listed_users.contains(pk)).collect()
        });
        let groups: Vec<GroupId> = walk.groups.read(|views| {
            let present = views.iter().filter(|(_, view)| !view.deleted && view.group.is_some());
            present.map(|(_, view)| view.uuid).filter(|id| !listed_groups.contains(id)).collect()
        });
        pass.report.n_missing = (users.len() + groups.len()) as u64;
        let differing = groups.into_iter().map(Entity::Group).collect();
        self.record_compared(walk, pass, Compared { differing, ..Compared::default() }).await?;
        let mut suspects = std::mem::take(&mut pass.replaced);
        suspects.extend(users);
        if let Some(reason) = pass.held_back_because.clone() {
            pass.hold_back(suspects.len(), reason);
        } else {
            // Deletions come last, so that a refusal by the guard affects nothing else.
            self.record_deletions(walk, pass, &suspects, progress).await?;
        }
        if walk.mode == Mode::Record {
            let is_held = pass.held_back_because.is_some();
            let held = if is_held { suspects.into_iter().collect() } else { BTreeSet::new() };
            self.guard.brake().hold_only(held).await?;
        }
        Ok(())
    }

    /// Records deleted users one by one, until the guard refuses one. The remaining users are held back.
    async fn record_deletions(
        &self,
        walk: &Walk,
        pass: &mut Pass,
        suspects: &[UserPk],
        progress: Progress<'_>,
    ) -> anyhow::Result<()> {
        let gone = self.find_deleted(walk, pass, suspects).await?;
        let allowed = match walk.mode {
            Mode::Record => {
                self.guard.reserve_deletions(gone.users.iter().copied().collect()).await.map(drop)
            }
            Mode::DryRun => self.guard.check_room(gone.users.len() as u64).await,
        };
        match allowed {
            Ok(()) => {}
            Err(refusal @ Refusal::Brake { .. }) => {
                pass.hold_back(gone.users.len() + gone.n_unchecked, refusal.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        let n_gone = gone.users.len();
        for (index, pk) in gone.users.into_iter().enumerate() {
            if let Some(reason) = pass.held_back_because.clone() {
                pass.hold_back(n_gone - index, reason);
                break;
            }
            let differing = vec![Entity::User(pk)];
            self.record_compared(walk, pass, Compared { differing, ..Compared::default() }).await?;
            progress(Stage::Missing, index as u64 + 1, n_gone as u64);
        }
        Ok(())
    }

    /// Reads each user in authentik, until more are deleted than the brake allows. Existing users are compared as usual.
    async fn find_deleted(&self, walk: &Walk, pass: &mut Pass, suspects: &[UserPk]) -> anyhow::Result<Gone> {
        let room = self.guard.brake().room().await?;
        let mut gone = Gone::default();
        for (index, chunk) in suspects.chunks(AT_ONCE).enumerate() {
            if gone.users.len() as u64 > room {
                gone.n_unchecked = suspects.len() - index * AT_ONCE;
                break;
            }
            let answers = try_join_all(chunk.iter().map(|pk| self.recorder.directory().user(*pk))).await?;
            let mut compared = Compared::default();
            for (pk, user) in chunk.iter().zip(answers) {
                match user {
                    Some(user) => walk.compare_user(user, &mut compared),
                    None => gone.users.push(*pk),
                }
            }
            gone.users.append(&mut compared.replaced);
            self.record_compared(walk, pass, compared).await?;
        }
        Ok(gone)
    }
}
