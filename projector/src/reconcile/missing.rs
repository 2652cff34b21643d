//! Who is recorded and was not met: the deletions, and what may hold them back.

use std::collections::BTreeSet;

use domain::key::{Entity, GroupId, UserPk};
use futures_util::future::try_join_all;
use runtime::clock;

use super::pass::{AT_ONCE, Compared, Walk};
use super::report::Pass;
use super::{Progress, Stage, Sweep};
use crate::directory::Directory;
use crate::record::guard::Stopped;

/// Who is not there any more, as far as that was asked.
#[derive(Default)]
struct Gone {
    users: Vec<UserPk>,
    /// How many were not asked for: there were too many gone already.
    n_unasked: usize,
}

impl<D: Directory> Sweep<D> {
    /// Who is recorded and was not met is asked for: a page that shifted can hide somebody who is there.
    pub(super) async fn look_for_missing(
        &self,
        walk: &Walk,
        pass: &mut Pass,
        (met_users, met_groups): (BTreeSet<UserPk>, BTreeSet<GroupId>),
        progress: Progress<'_>,
    ) -> anyhow::Result<()> {
        let users: BTreeSet<UserPk> = walk.users.read(|views| {
            let present = views.iter().filter_map(|(_, view)| Some(view.present()?.pk));
            present.filter(|pk| !met_users.contains(pk)).collect()
        });
        let groups: Vec<GroupId> = walk.groups.read(|views| {
            let present = views.iter().filter(|(_, view)| !view.deleted && view.group.is_some());
            present.map(|(_, view)| view.uuid).filter(|id| !met_groups.contains(id)).collect()
        });
        pass.report.n_missing = (users.len() + groups.len()) as u64;
        let differing = groups.into_iter().map(Entity::Group).collect();
        self.settle(walk, pass, Compared { differing, ..Compared::default() }).await?;
        let mut suspects = std::mem::take(&mut pass.replaced);
        suspects.extend(users);
        if let Some(reason) = pass.stopped.clone() {
            pass.hold_back(suspects.len(), reason);
            return Ok(());
        }
        // Last, so that everything else is done by the time that the guard says no.
        self.delete(walk, pass, &suspects, progress).await
    }

    /// Records who is gone as deleted, one by one. When the guard says no, nobody else is asked for.
    async fn delete(
        &self,
        walk: &Walk,
        pass: &mut Pass,
        suspects: &[UserPk],
        progress: Progress<'_>,
    ) -> anyhow::Result<()> {
        let gone = self.ask_for(walk, pass, suspects).await?;
        match self.guard.foresee(gone.users.len() as u64, clock::now()).await {
            Ok(()) => {}
            Err(stopped @ Stopped::Brake { .. }) => {
                pass.hold_back(gone.users.len() + gone.n_unasked, stopped.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        let n_gone = gone.users.len();
        for (index, pk) in gone.users.into_iter().enumerate() {
            if let Some(reason) = pass.stopped.clone() {
                pass.hold_back(n_gone - index, reason);
                break;
            }
            let differing = vec![Entity::User(pk)];
            self.settle(walk, pass, Compared { differing, ..Compared::default() }).await?;
            progress(Stage::Missing, index as u64 + 1, n_gone as u64);
        }
        Ok(())
    }

    /// Asks for each, until there are more gone than may be. Who is there is compared after all.
    async fn ask_for(&self, walk: &Walk, pass: &mut Pass, suspects: &[UserPk]) -> anyhow::Result<Gone> {
        let room = self.guard.room(clock::now()).await?;
        let mut gone = Gone::default();
        for (index, some) in suspects.chunks(AT_ONCE).enumerate() {
            if gone.users.len() as u64 > room {
                gone.n_unasked = suspects.len() - index * AT_ONCE;
                break;
            }
            let answers = try_join_all(some.iter().map(|pk| self.recorder.directory().user(*pk))).await?;
            let mut compared = Compared::default();
            for (pk, user) in some.iter().zip(answers) {
                match user {
                    Some(user) => walk.compare_user(user, &mut compared),
                    None => gone.users.push(*pk),
                }
            }
            gone.users.append(&mut compared.replaced);
            self.settle(walk, pass, compared).await?;
        }
        Ok(gone)
    }
}
