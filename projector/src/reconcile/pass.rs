//! One walk over all users and groups.

use std::collections::BTreeSet;

use domain::decide::{RecordedState, decide_group, decide_user};
use domain::event::payload::Trigger;
use domain::event::{Channel, EventBody};
use domain::hint::{Cause, Hint, HintTarget};
use domain::key::{DeliveryId, Entity, GroupId, UserPk};
use domain::snapshot::{Group, User};
use domain::timestamp::Timestamp;
use domain::view::groups::Groups;
use domain::view::users::Users;
use futures_util::{StreamExt, stream};
use runtime::clock;
use store::replica::Replica;

use super::report::{Outcome, Pass};
use super::{Mode, Progress, Stage, Sweep};
use crate::directory::Directory;
use crate::record::{HandleError, PageItem};

/// How many users of a page are worked on at once.
pub(super) const AT_ONCE: usize = 32;

/// What a pass compares with.
pub(super) struct Walk {
    pub(super) mode: Mode,
    /// Names this pass: the cause of what it records.
    run: DeliveryId,
    pub(super) users: Replica<Users>,
    pub(super) groups: Replica<Groups>,
}

/// A page, compared with what is recorded. Who agrees is left out.
#[derive(Default)]
pub(super) struct Compared {
    /// Nothing is recorded of them.
    pub(super) new: Vec<PageItem>,
    pub(super) differing: Vec<Entity>,
    /// Their key means somebody else now.
    pub(super) replaced: Vec<UserPk>,
}

impl<D: Directory> Sweep<D> {
    /// Walks over all users and groups.
    pub(super) async fn pass(&self, mode: Mode, progress: Progress<'_>) -> anyhow::Result<Pass> {
        let walk = Walk { mode, run: new_run()?, users: Replica::default(), groups: Replica::default() };
        walk.users.catch_up(&self.nats, self.recorder.log()).await?;
        walk.groups.catch_up(&self.nats, self.recorder.log()).await?;
        let mut pass = Pass::default();
        let met_users = self.walk_users(&walk, &mut pass, progress).await?;
        let met_groups = self.walk_groups(&walk, &mut pass, progress).await?;
        self.look_for_missing(&walk, &mut pass, (met_users, met_groups), progress).await?;
        Ok(pass)
    }

    /// Walks over the users that authentik saved since. Each is compared with the log itself.
    pub(super) async fn look_at_changed(&self, since: Timestamp) -> anyhow::Result<Pass> {
        let run = new_run()?;
        let mut pass = Pass::default();
        let mut next = Some(1);
        while let Some(number) = next {
            let page = self.recorder.directory().users(number, Some(since)).await?;
            next = page.next;
            let looks =
                page.items.into_iter().map(|user| self.look_at_listed(&run, PageItem::User(Box::new(user))));
            let looks: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
            for (entity, looked) in looks {
                pass.take(entity, looked)?;
            }
        }
        Ok(pass)
    }

    async fn look_at_listed(
        &self,
        run: &DeliveryId,
        listed: PageItem,
    ) -> (Entity, Result<Outcome, HandleError>) {
        let entity = listed.entity();
        let hint = hint(run, entity);
        let looked = async {
            if self.recorder.is_recorded(&listed, &hint).await? {
                return Ok(Outcome::Agrees);
            }
            self.recorder.record(entity, hint).await?;
            Ok(Outcome::Differed)
        };
        (entity, looked.await)
    }

    async fn walk_users(
        &self,
        walk: &Walk,
        pass: &mut Pass,
        progress: Progress<'_>,
    ) -> anyhow::Result<BTreeSet<UserPk>> {
        let mut met = BTreeSet::new();
        let mut next = Some(1);
        while let Some(number) = next {
            let page = self.recorder.directory().users(number, None).await?;
            if number == 1 && walk.mode == Mode::Record {
                self.guard.pin(page.items.iter().map(|user| (user.pk, user.uuid))).await?;
            }
            next = page.next;
            pass.report.n_users = pass.report.n_users.max(page.n_all);
            met.extend(page.items.iter().map(|user| user.pk));
            let mut compared = Compared::default();
            for user in page.items {
                walk.compare_user(user, &mut compared);
            }
            self.settle(walk, pass, compared).await?;
            progress(Stage::Users, met.len() as u64, pass.report.n_users);
        }
        Ok(met)
    }

    async fn walk_groups(
        &self,
        walk: &Walk,
        pass: &mut Pass,
        progress: Progress<'_>,
    ) -> anyhow::Result<BTreeSet<GroupId>> {
        let mut met = BTreeSet::new();
        let mut next = Some(1);
        while let Some(number) = next {
            let page = self.recorder.directory().groups(number).await?;
            next = page.next;
            pass.report.n_groups = pass.report.n_groups.max(page.n_all);
            met.extend(page.items.iter().map(|group| group.group.uuid));
            let mut compared = Compared::default();
            for group in page.items {
                walk.compare_group(group.group, &mut compared);
            }
            self.settle(walk, pass, compared).await?;
            progress(Stage::Groups, met.len() as u64, pass.report.n_groups);
        }
        Ok(met)
    }

    /// Records who differs by the rule, which asks authentik again: a page is old when it is worked on.
    pub(super) async fn settle(
        &self,
        walk: &Walk,
        pass: &mut Pass,
        compared: Compared,
    ) -> anyhow::Result<()> {
        pass.replaced.extend(compared.replaced);
        match walk.mode {
            Mode::Record => {
                let new = compared.new.into_iter().map(|listed| {
                    let hint = walk.hint(listed.entity());
                    (listed, hint)
                });
                for (entity, imported) in self.recorder.import(new.collect()).await {
                    let outcome = |is_new| if is_new { Outcome::Imported } else { Outcome::Agrees };
                    pass.take(entity, imported.map(outcome))?;
                }
                let looks = compared.differing.into_iter().map(|entity| async move {
                    let recorded = self.recorder.record(entity, walk.hint(entity)).await;
                    (entity, recorded.map(|()| Outcome::Differed))
                });
                let looks: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
                looks.into_iter().try_for_each(|(entity, looked)| pass.take(entity, looked))
            }
            Mode::DryRun => {
                for listed in compared.new {
                    let bodies = listed.first(&walk.hint(listed.entity()));
                    pass.would_record(listed.entity(), bodies.iter().map(EventBody::event_type).collect());
                    pass.take(listed.entity(), Ok(Outcome::Imported))?;
                }
                self.preview(walk, pass, compared.differing).await
            }
        }
    }

    async fn preview(&self, walk: &Walk, pass: &mut Pass, differing: Vec<Entity>) -> anyhow::Result<()> {
        let looks = differing.into_iter().map(|entity| async move {
            let hint = walk.hint(entity);
            (entity, self.recorder.preview(entity, &hint).await)
        });
        // In the order of the keys, so that two dry runs name the same ones.
        let looks: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        for (entity, looked) in looks {
            let outcome = looked.map(|events| {
                if events.is_empty() {
                    return Outcome::Agrees;
                }
                pass.would_record(entity, events);
                Outcome::Differed
            });
            pass.take(entity, outcome)?;
        }
        Ok(())
    }
}

impl Walk {
    fn hint(&self, entity: Entity) -> Hint {
        hint(&self.run, entity)
    }

    /// Adds the user to `compared`, where they differ.
    pub(super) fn compare_user(&self, user: User, compared: &mut Compared) {
        let known = self.users.read(|views| match views.get(&user.pk.to_string()) {
            None => RecordedState::Nothing,
            Some(view) => {
                view.present().map_or(RecordedState::Gone, |user| RecordedState::Present(user.clone()))
            }
        });
        let entity = Entity::User(user.pk);
        if decide_user(user.pk, &known, Some(&user), &self.hint(entity), None).is_empty() {
            return;
        }
        match known {
            RecordedState::Nothing => compared.new.push(PageItem::User(Box::new(user))),
            RecordedState::Present(known) if known.uuid != user.uuid => compared.replaced.push(user.pk),
            RecordedState::Present(_) | RecordedState::Gone => compared.differing.push(entity),
        }
    }

    fn compare_group(&self, group: Group, compared: &mut Compared) {
        let known = self.groups.read(|views| match views.get(&group.uuid.to_string()) {
            Some(view) if view.deleted => RecordedState::Gone,
            Some(view) => view.group.clone().map_or(RecordedState::Nothing, RecordedState::Present),
            None => RecordedState::Nothing,
        });
        let entity = Entity::Group(group.uuid);
        if decide_group(&known, Some(&group), &self.hint(entity).cause.trigger).is_empty() {
            return;
        }
        match known {
            RecordedState::Nothing => compared.new.push(PageItem::Group(group)),
            RecordedState::Present(_) | RecordedState::Gone => compared.differing.push(entity),
        }
    }
}

/// Names a pass: the cause of what it records.
fn new_run() -> anyhow::Result<DeliveryId> {
    Ok(format!("sweep-{}", clock::new_id().simple()).parse()?)
}

fn hint(run: &DeliveryId, entity: Entity) -> Hint {
    let trigger = Trigger { action: "sweep".to_owned(), actor: None };
    let (delivery, channel) = (run.clone(), Channel::Sweep);
    let cause = Cause { delivery, channel, occurred: None, correlation: None, trigger };
    Hint { target: HintTarget::Entity(entity), created: None, fact: None, cause }
}
