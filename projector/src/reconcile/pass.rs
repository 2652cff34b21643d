//! One pass over all users and groups.

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

/// How many users of a page are processed concurrently.
pub(super) const AT_ONCE: usize = 32;

/// One pass, and the recorded state at its start.
pub(super) struct Walk {
    pub(super) mode: Mode,
    /// The cause of all events that this pass records.
    run: DeliveryId,
    pub(super) users: Replica<Users>,
    pub(super) groups: Replica<Groups>,
}

/// The users and groups of a page that differ from the recorded state.
#[derive(Default)]
pub(super) struct Compared {
    /// Users and groups without any event.
    pub(super) new: Vec<PageItem>,
    pub(super) differing: Vec<Entity>,
    /// Recorded users whose key belongs to another uuid in authentik now.
    pub(super) replaced: Vec<UserPk>,
}

impl<D: Directory> Sweep<D> {
    /// Compares all users and groups with the recorded state.
    pub(super) async fn pass(&self, mode: Mode, progress: Progress<'_>) -> anyhow::Result<Pass> {
        let walk = Walk { mode, run: new_run()?, users: Replica::default(), groups: Replica::default() };
        walk.users.catch_up(&self.nats, self.recorder.log()).await?;
        walk.groups.catch_up(&self.nats, self.recorder.log()).await?;
        let mut pass = Pass::default();
        let listed_users = self.walk_users(&walk, &mut pass, progress).await?;
        let listed_groups = self.walk_groups(&walk, &mut pass, progress).await?;
        self.record_missing(&walk, &mut pass, (listed_users, listed_groups), progress).await?;
        Ok(pass)
    }

    /// Compares the users that authentik saved after `since` with their newest events.
    pub(super) async fn compare_changed(&self, since: Timestamp) -> anyhow::Result<Pass> {
        let run = new_run()?;
        let mut pass = Pass::default();
        let mut next = Some(1);
        while let Some(number) = next {
            let page = self.recorder.directory().users(number, Some(since)).await?;
            next = page.next;
            let items = page.items.into_iter().map(|user| PageItem::User(Box::new(user)));
            let compared = items.map(|item| self.compare_with_log(&run, item));
            let compared: Vec<_> = stream::iter(compared).buffer_unordered(AT_ONCE).collect().await;
            for (entity, outcome) in compared {
                pass.add(entity, outcome)?;
            }
        }
        Ok(pass)
    }

    async fn compare_with_log(
        &self,
        run: &DeliveryId,
        item: PageItem,
    ) -> (Entity, Result<Outcome, HandleError>) {
        let entity = item.entity();
        let hint = hint(run, entity);
        let outcome = async {
            if self.recorder.is_recorded(&item, hint.clone()).await? {
                return Ok(Outcome::Agrees);
            }
            self.recorder.record(entity, hint, clock::now()).await?;
            Ok(Outcome::Differed)
        };
        (entity, outcome.await)
    }

    async fn walk_users(
        &self,
        walk: &Walk,
        pass: &mut Pass,
        progress: Progress<'_>,
    ) -> anyhow::Result<BTreeSet<UserPk>> {
        let mut listed = BTreeSet::new();
        let mut next = Some(1);
        while let Some(number) = next {
            let page = self.recorder.directory().users(number, None).await?;
            if number == 1 && walk.mode == Mode::Record {
                self.guard.pin(page.items.iter().map(|user| (user.pk, user.uuid))).await?;
            }
            next = page.next;
            pass.report.n_users = pass.report.n_users.max(page.n_all);
            listed.extend(page.items.iter().map(|user| user.pk));
            let mut compared = Compared::default();
            for user in page.items {
                walk.compare_user(user, &mut compared);
            }
            self.record_compared(walk, pass, compared).await?;
            progress(Stage::Users, listed.len() as u64, pass.report.n_users);
        }
        Ok(listed)
    }

    async fn walk_groups(
        &self,
        walk: &Walk,
        pass: &mut Pass,
        progress: Progress<'_>,
    ) -> anyhow::Result<BTreeSet<GroupId>> {
        let mut listed = BTreeSet::new();
        let mut next = Some(1);
        while let Some(number) = next {
            let page = self.recorder.directory().groups(number).await?;
            next = page.next;
            pass.report.n_groups = pass.report.n_groups.max(page.n_all);
            listed.extend(page.items.iter().map(|group| group.group.uuid));
            let mut compared = Compared::default();
            for group in page.items {
                walk.compare_group(group.group, &mut compared);
            }
            self.record_compared(walk, pass, compared).await?;
            progress(Stage::Groups, listed.len() as u64, pass.report.n_groups);
        }
        Ok(listed)
    }

    /// Records differing users and groups by the rule, which reads authentik again: the page may be out of date.
    pub(super) async fn record_compared(
        &self,
        walk: &Walk,
        pass: &mut Pass,
        compared: Compared,
    ) -> anyhow::Result<()> {
        pass.replaced.extend(compared.replaced);
        match walk.mode {
            Mode::Record => {
                let new = compared.new.into_iter().map(|item| {
                    let hint = walk.hint(item.entity());
                    (item, hint)
                });
                for (entity, imported) in self.recorder.import(new.collect()).await {
                    let outcome = |is_new| if is_new { Outcome::Imported } else { Outcome::Agrees };
                    pass.add(entity, imported.map(outcome))?;
                }
                let recorded = compared.differing.into_iter().map(|entity| async move {
                    let recorded = self.recorder.record(entity, walk.hint(entity), clock::now()).await;
                    (entity, recorded.map(|_| Outcome::Differed))
                });
                let recorded: Vec<_> = stream::iter(recorded).buffer_unordered(AT_ONCE).collect().await;
                recorded.into_iter().try_for_each(|(entity, outcome)| pass.add(entity, outcome))
            }
            Mode::DryRun => {
                for item in compared.new {
                    let bodies = item.first_events(&walk.hint(item.entity()));
                    pass.add_difference(item.entity(), bodies.iter().map(EventBody::event_type).collect());
                    pass.add(item.entity(), Ok(Outcome::Imported))?;
                }
                self.preview(walk, pass, compared.differing).await
            }
        }
    }

    async fn preview(&self, walk: &Walk, pass: &mut Pass, differing: Vec<Entity>) -> anyhow::Result<()> {
        let previews = differing
            .into_iter()
            .map(|entity| async move { (entity, self.recorder.preview(entity, walk.hint(entity)).await) });
        // Keeps the order of the keys, so that two dry runs list the same differences.
        let previews: Vec<_> = stream::iter(previews).buffered(AT_ONCE).collect().await;
        for (entity, preview) in previews {
            let outcome = preview.map(|events| {
                if events.is_empty() {
                    return Outcome::Agrees;
                }
                pass.add_difference(entity, events);
                Outcome::Differed
            });
            pass.add(entity, outcome)?;
        }
        Ok(())
    }
}

impl Walk {
    fn hint(&self, entity: Entity) -> Hint {
        hint(&self.run, entity)
    }

    /// Adds the user to `compared` if it differs from the recorded state.
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

/// A new id of a pass: the cause of all events that it records.
fn new_run() -> anyhow::Result<DeliveryId> {
    Ok(format!("sweep-{}", clock::new_id().simple()).parse()?)
}

fn hint(run: &DeliveryId, entity: Entity) -> Hint {
    let trigger = Trigger { action: "sweep".to_owned(), actor: None };
    let (delivery, channel) = (run.clone(), Channel::Sweep);
    let cause = Cause { delivery, channel, occurred: None, correlation: None, trigger };
    Hint { target: HintTarget::Entity(entity), created: None, fact: None, cause }
}
