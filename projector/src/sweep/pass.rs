//! One walk over all users and groups.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::decide::{Known, decide_group, decide_user};
use domain::event::Channel;
use domain::event::payload::Trigger;
use domain::hint::{About, Cause, Hint};
use domain::key::{DeliveryId, Entity, GroupId, UserPk};
use domain::snapshot::{Group, User};
use domain::status::SweepReport;
use domain::timestamp::Timestamp;
use domain::view::groups::Groups;
use domain::view::users::Users;
use futures_util::{StreamExt, TryStreamExt, stream};
use runtime::clock;
use store::replica::Replica;
use tokio::time::Instant;

use super::Sweeper;
use crate::directory::Directory;
use crate::record::HandleError;

/// How many users of a page are worked on at once.
const AT_ONCE: usize = 32;

/// How often a long walk says where it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// What a pass knows while it walks.
struct Walk {
    /// Names this pass: the cause of what it records.
    run: DeliveryId,
    users: Replica<Users>,
    groups: Replica<Groups>,
    report: SweepReport,
    said: Instant,
}

/// What was done about one user or group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Agrees,
    Imported,
    Differed,
}

impl<D: Directory> Sweeper<D> {
    /// Walks over all users and groups.
    pub(super) async fn pass(&self) -> anyhow::Result<SweepReport> {
        let (users, groups) = (Replica::default(), Replica::default());
        users.catch_up(&self.nats, self.recorder.log()).await?;
        groups.catch_up(&self.nats, self.recorder.log()).await?;
        let mut walk =
            Walk { run: new_run()?, users, groups, report: SweepReport::default(), said: Instant::now() };
        let met_users = self.walk_users(&mut walk).await?;
        let met_groups = self.walk_groups(&mut walk).await?;
        self.look_for_missing(&mut walk, &met_users, &met_groups).await?;
        Ok(walk.report)
    }

    /// Walks over the users that authentik saved since. They are few: each is compared with the log itself.
    pub(super) async fn look_at_changed(&self, since: Timestamp) -> anyhow::Result<()> {
        let run = new_run()?;
        let mut next = Some(1);
        while let Some(number) = next {
            let page = self.recorder.directory().users(number, Some(since)).await?;
            next = page.next;
            for user in page.items {
                let hint = hint(&run, Entity::User(user.pk));
                if !self.recorder.is_recorded(&user, &hint).await.map_err(reason)? {
                    self.recorder.record_user(user.pk, hint, clock::now()).await.map_err(reason)?;
                }
            }
        }
        Ok(())
    }

    async fn walk_users(&self, walk: &mut Walk) -> anyhow::Result<BTreeSet<UserPk>> {
        let mut met = BTreeSet::new();
        let mut next = Some(1);
        while let Some(number) = next {
            let page = self.recorder.directory().users(number, None).await?;
            if number == 1 {
                self.guard.pin(page.items.iter().map(|user| (user.pk, user.uuid))).await?;
            }
            next = page.next;
            walk.report.n_users = walk.report.n_users.max(page.n_all);
            met.extend(page.items.iter().map(|user| user.pk));
            let looks = page.items.into_iter().map(|user| self.compare_user(walk, user));
            let outcomes: Vec<Outcome> = stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await?;
            walk.count(&outcomes);
            walk.say(met.len());
        }
        Ok(met)
    }

    async fn walk_groups(&self, walk: &mut Walk) -> anyhow::Result<BTreeSet<GroupId>> {
        let mut met = BTreeSet::new();
        let mut next = Some(1);
        while let Some(number) = next {
            let page = self.recorder.directory().groups(number).await?;
            next = page.next;
            walk.report.n_groups = walk.report.n_groups.max(page.n_all);
            met.extend(page.items.iter().map(|group| group.group.uuid));
            let looks = page.items.into_iter().map(|group| self.compare_group(walk, group.group));
            let outcomes: Vec<Outcome> = stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await?;
            walk.count(&outcomes);
        }
        Ok(met)
    }

    async fn compare_user(&self, walk: &Walk, user: User) -> anyhow::Result<Outcome> {
        let view = walk.users.read(|views| views.get(&user.pk.to_string()).cloned());
        let hint = walk.hint(Entity::User(user.pk));
        let known = match &view {
            None => Known::Nothing,
            Some(view) => view.present().map_or(Known::Gone, |user| Known::Present(user.clone())),
        };
        if decide_user(user.pk, &known, Some(&user), &hint, None).is_empty() {
            return Ok(Outcome::Agrees);
        }
        if view.is_none() {
            self.recorder.import_user(user, &hint).await.map_err(reason)?;
            return Ok(Outcome::Imported);
        }
        self.recorder.record_user(user.pk, hint, clock::now()).await.map_err(reason)?;
        Ok(Outcome::Differed)
    }

    async fn compare_group(&self, walk: &Walk, group: Group) -> anyhow::Result<Outcome> {
        let view = walk.groups.read(|views| views.get(&group.uuid.to_string()).cloned());
        let hint = walk.hint(Entity::Group(group.uuid));
        let known = match view {
            Some(view) if view.deleted => Known::Gone,
            Some(view) => view.group.map_or(Known::Nothing, Known::Present),
            None => Known::Nothing,
        };
        if decide_group(&known, Some(&group), &hint.cause.trigger).is_empty() {
            return Ok(Outcome::Agrees);
        }
        self.recorder.record_group(group.uuid, hint).await.map_err(reason)?;
        Ok(Outcome::Differed)
    }

    /// Who is recorded and was not met is asked for: a page that shifted can hide somebody who is there.
    async fn look_for_missing(
        &self,
        walk: &mut Walk,
        met_users: &BTreeSet<UserPk>,
        met_groups: &BTreeSet<GroupId>,
    ) -> anyhow::Result<()> {
        let users: Vec<UserPk> = walk.users.read(|views| {
            let present = views.iter().filter_map(|(_, view)| Some(view.present()?.pk));
            present.filter(|pk| !met_users.contains(pk)).collect()
        });
        let groups: Vec<GroupId> = walk.groups.read(|views| {
            let present = views.iter().filter(|(_, view)| !view.deleted && view.group.is_some());
            present.map(|(_, view)| view.uuid).filter(|id| !met_groups.contains(id)).collect()
        });
        walk.report.n_missing = (users.len() + groups.len()) as u64;
        for id in groups {
            self.recorder.record_group(id, walk.hint(Entity::Group(id))).await.map_err(reason)?;
        }
        // Last, for the brake may end the pass here: everything else is done by then.
        for pk in users {
            self.recorder.record_user(pk, walk.hint(Entity::User(pk)), clock::now()).await.map_err(reason)?;
        }
        Ok(())
    }
}

impl Walk {
    fn hint(&self, entity: Entity) -> Hint {
        hint(&self.run, entity)
    }

    fn count(&mut self, outcomes: &[Outcome]) {
        let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count() as u64;
        self.report.n_imported += count(Outcome::Imported);
        self.report.n_differing += count(Outcome::Differed);
    }

    fn say(&mut self, n_met: usize) {
        if self.said.elapsed() >= PROGRESS {
            self.said = Instant::now();
            tracing::info!("sweeping: {n_met} of {} users", self.report.n_users);
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
    Hint { about: About::Entity(entity), created: None, fact: None, cause }
}

fn reason(error: HandleError) -> anyhow::Error {
    match error {
        HandleError::Retry(cause) | HandleError::Misconfigured(cause) | HandleError::Stopped(cause) => cause,
        HandleError::Reject(cause) => cause.context("this user or group cannot be recorded"),
    }
}
