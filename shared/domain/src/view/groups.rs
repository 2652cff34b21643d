//! `groups`: the current state and the number of members of each group.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Projection;
use crate::event::{EventBody, Recorded, StateAfter};
use crate::key::{Entity, GroupId};
use crate::snapshot::Group;
use crate::timestamp::Timestamp;

/// The projection `groups`, keyed by the group's uuid.
#[derive(Clone, Copy, Debug)]
pub struct Groups;

/// View of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupView {
    /// authentik's primary key.
    pub uuid: GroupId,
    /// True if the group no longer exists in authentik.
    pub deleted: bool,
    /// Current state, or the last one of a deleted group; null if only its members are recorded so far.
    pub group: Option<Group>,
    /// Number of users recorded as direct members.
    pub n_members: u64,
    /// Time of the last event, by authentik's clock.
    pub last_event: Timestamp,
    /// Sequence of the last event.
    pub sequence: u64,
}

/// The groups that an event adds a member to, and the groups that it removes one from.
fn membership_changes(body: &EventBody) -> (Vec<GroupId>, Vec<GroupId>) {
    match body {
        EventBody::UserRegistered(data) => (data.user.groups.iter().copied().collect(), vec![]),
        EventBody::UserJoinedGroup(data) => (vec![data.group.uuid], vec![]),
        EventBody::UserLeftGroup(data) => (vec![], vec![data.group.uuid]),
        EventBody::UserDeleted(data) => (vec![], data.user.groups.iter().copied().collect()),
        EventBody::UserUpdated(_)
        | EventBody::UserDeactivated(_)
        | EventBody::UserReactivated(_)
        | EventBody::UserErased(_)
        | EventBody::UserPasswordChanged(_)
        | EventBody::UserLoggedIn(_)
        | EventBody::UserLoginFailed(_)
        | EventBody::UserLoggedOut(_)
        | EventBody::UserAuthorizedApplication(_)
        | EventBody::UserLinkedSource(_)
        | EventBody::UserSuspiciousRequest(_)
        | EventBody::UserImpersonationStarted(_)
        | EventBody::UserImpersonationEnded(_)
        | EventBody::GroupCreated(_)
        | EventBody::GroupUpdated(_)
        | EventBody::GroupDeleted(_) => (vec![], vec![]),
    }
}

impl Projection for Groups {
    type View = GroupView;
    const NAME: &'static str = "groups";
    const VERSION: u32 = 1;

    fn keys(event: &Recorded) -> Vec<String> {
        match event.event.subject {
            Entity::Group(uuid) => vec![uuid.to_string()],
            Entity::User(_) => {
                let (joined, left) = membership_changes(&event.event.body);
                joined.into_iter().chain(left).map(|uuid| uuid.to_string()).collect()
            }
        }
    }

    fn fold(key: &str, view: Option<&GroupView>, event: &Recorded) -> Option<GroupView> {
        let uuid: GroupId = key.parse().ok()?;
        let mut view = view.cloned().unwrap_or(GroupView {
            uuid,
            deleted: false,
            group: None,
            n_members: 0,
            last_event: event.event.time,
            sequence: 0,
        });
        match event.event.body.after() {
            StateAfter::Group(group) => (view.deleted, view.group) = (false, Some(group.clone())),
            StateAfter::GroupGone(group) => (view.deleted, view.group) = (true, Some(group.clone())),
            StateAfter::User(_) | StateAfter::UserGone(_) | StateAfter::UserErased => {
                let (joined, left) = membership_changes(&event.event.body);
                view.n_members += u64::from(joined.contains(&uuid));
                view.n_members = view.n_members.saturating_sub(u64::from(left.contains(&uuid)));
            }
        }
        view.last_event = event.event.time;
        view.sequence = event.sequence;
        Some(view)
    }

    fn sequence(view: &GroupView) -> u64 {
        view.sequence
    }
}
