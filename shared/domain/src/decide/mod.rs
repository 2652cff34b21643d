//! The decision at the core of the rule: which events bring the log in line with authentik.

use serde::Serialize;
use serde_json::Value;

use crate::event::payload::{
    Change, Changes, GroupCreated, GroupDeleted, GroupRef, GroupUpdated, Trigger, UserAuthorizedApplication,
    UserDeactivated, UserDeleted, UserImpersonationEnded, UserImpersonationStarted, UserJoinedGroup,
    UserLeftGroup, UserLinkedSource, UserLoggedIn, UserLoggedOut, UserLoginFailed, UserPasswordChanged,
    UserReactivated, UserRegistered, UserSuspiciousRequest, UserUpdated,
};
use crate::event::{EventBody, StateAfter};
use crate::hint::{Fact, Hint};
use crate::key::{GroupId, UserPk};
use crate::snapshot::{Group, User};

/// The state of a user or group according to its newest event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedState<S> {
    /// No event was ever recorded.
    Nothing,
    /// The state in the newest event.
    Present(S),
    /// The newest event records a deletion or an erasure.
    Gone,
}

impl RecordedState<User> {
    /// The recorded state of a user whose newest event has this body.
    pub fn from_newest_of_user(body: &EventBody) -> Self {
        match body.after() {
            StateAfter::User(user) => Self::Present(user.clone()),
            StateAfter::UserGone(_)
            | StateAfter::UserErased
            | StateAfter::Group(_)
            | StateAfter::GroupGone(_) => Self::Gone,
        }
    }
}

impl RecordedState<Group> {
    /// The recorded state of a group whose newest event has this body.
    pub fn from_newest_of_group(body: &EventBody) -> Self {
        match body.after() {
            StateAfter::Group(group) => Self::Present(group.clone()),
            StateAfter::GroupGone(_)
            | StateAfter::User(_)
            | StateAfter::UserGone(_)
            | StateAfter::UserErased => Self::Gone,
        }
    }
}

/// The events to append for a user. `source` is authentik's answer, `None` if authentik has no such user.
/// `fact` is the hint's fact, or `None` if that fact is already recorded.
///
/// Returns no events if log and source agree, so a repeated hint changes nothing.
pub fn decide_user(
    pk: UserPk,
    recorded: &RecordedState<User>,
    source: Option<&User>,
    hint: &Hint,
    fact: Option<&Fact>,
) -> Vec<EventBody> {
    let trigger = &hint.cause.trigger;
    match (recorded, source) {
        (RecordedState::Nothing, None) => match &hint.created {
            Some(name) => registered_and_deleted(User::partial(pk, name.clone()), trigger),
            None => vec![],
        },
        (RecordedState::Gone, None) => vec![],
        (RecordedState::Nothing | RecordedState::Gone, Some(source)) => registered(source, fact, trigger),
        (RecordedState::Present(recorded), None) => {
            let mut events: Vec<_> =
                fact.map(|fact| fact_event(fact, recorded.clone(), trigger)).into_iter().collect();
            events.push(deleted(recorded, trigger));
            events
        }
        // authentik was restored from a backup: the primary key now belongs to another user.
        (RecordedState::Present(recorded), Some(source)) if recorded.uuid != source.uuid => {
            let mut events = vec![deleted(recorded, trigger)];
            events.extend(registered(source, fact, trigger));
            events
        }
        (RecordedState::Present(recorded), Some(source)) => {
            let mut events = user_differences(recorded, source, trigger);
            events.extend(fact.map(|fact| fact_event(fact, source.clone(), trigger)));
            events
        }
    }
}

/// The events to append for a group. `source` is authentik's answer, `None` if authentik has no such group.
pub fn decide_group(
    recorded: &RecordedState<Group>,
    source: Option<&Group>,
    trigger: &Trigger,
) -> Vec<EventBody> {
    let trigger = trigger.clone();
    match (recorded, source) {
        (RecordedState::Nothing | RecordedState::Gone, None) => vec![],
        (RecordedState::Nothing | RecordedState::Gone, Some(source)) => {
            vec![EventBody::GroupCreated(GroupCreated { group: source.clone(), trigger })]
        }
        (RecordedState::Present(recorded), None) => {
            vec![EventBody::GroupDeleted(GroupDeleted { group: recorded.clone(), trigger })]
        }
        (RecordedState::Present(recorded), Some(source)) => {
            let mut changes = Changes::new();
            insert_change(&mut changes, "name", &recorded.name, &source.name);
            insert_change(&mut changes, "is_superuser", &recorded.is_superuser, &source.is_superuser);
            insert_change(&mut changes, "parents", &recorded.parents, &source.parents);
            if changes.is_empty() {
                return vec![];
            }
            vec![EventBody::GroupUpdated(GroupUpdated { group: source.clone(), changes, trigger })]
        }
    }
}

fn registered(source: &User, fact: Option<&Fact>, trigger: &Trigger) -> Vec<EventBody> {
    let registered = UserRegistered { user: source.clone(), partial: false, trigger: trigger.clone() };
    let mut events = vec![EventBody::UserRegistered(registered)];
    events.extend(fact.map(|fact| fact_event(fact, source.clone(), trigger)));
    events
}

/// Events of a user whom authentik deleted before this system could read them.
fn registered_and_deleted(user: User, trigger: &Trigger) -> Vec<EventBody> {
    let deleted = deleted(&user, trigger);
    vec![EventBody::UserRegistered(UserRegistered { user, partial: true, trigger: trigger.clone() }), deleted]
}

fn deleted(recorded: &User, trigger: &Trigger) -> EventBody {
    EventBody::UserDeleted(UserDeleted { user: recorded.clone(), trigger: trigger.clone() })
}

/// One event per difference, each with the state after it. The last one carries the state of the source.
fn user_differences(recorded: &User, source: &User, trigger: &Trigger) -> Vec<EventBody> {
    let trigger = || trigger.clone();
    let mut events = vec![];
    // Fields that are not compared (times, group names) change with the first event.
    let newest_name = |id| source.group_names.get(id).or_else(|| recorded.group_names.get(id));
    let mut user = User {
        is_active: recorded.is_active,
        groups: recorded.groups.clone(),
        group_names: recorded.groups.iter().filter_map(|id| Some((*id, newest_name(id)?.clone()))).collect(),
        ..source.clone()
    };
    let changes = field_changes(recorded, source);
    if !changes.is_empty() {
        events.push(EventBody::UserUpdated(UserUpdated { user: user.clone(), changes, trigger: trigger() }));
    }
    for id in recorded.groups.difference(&source.groups) {
        let group = group_ref(*id, &user);
        user.groups.remove(id);
        user.group_names.remove(id);
        events.push(EventBody::UserLeftGroup(UserLeftGroup {
            user: user.clone(),
            group,
            trigger: trigger(),
        }));
    }
    for id in source.groups.difference(&recorded.groups) {
        let group = group_ref(*id, source);
        user.groups.insert(*id);
        user.group_names.insert(*id, group.name.clone());
        events.push(EventBody::UserJoinedGroup(UserJoinedGroup {
            user: user.clone(),
            group,
            trigger: trigger(),
        }));
    }
    if recorded.is_active != source.is_active {
        let user = source.clone();
        events.push(if source.is_active {
            EventBody::UserReactivated(UserReactivated { user, trigger: trigger() })
        } else {
            EventBody::UserDeactivated(UserDeactivated { user, trigger: trigger() })
        });
    }
    events
}

fn group_ref(uuid: GroupId, member: &User) -> GroupRef {
    GroupRef { uuid, name: member.group_names.get(&uuid).cloned().unwrap_or_default() }
}

fn field_changes(recorded: &User, source: &User) -> Changes {
    let mut changes = Changes::new();
    insert_change(&mut changes, "username", &recorded.username, &source.username);
    insert_change(&mut changes, "name", &recorded.name, &source.name);
    insert_change(&mut changes, "email", &recorded.email, &source.email);
    insert_change(&mut changes, "type", &recorded.kind, &source.kind);
    insert_change(&mut changes, "path", &recorded.path, &source.path);
    insert_change(&mut changes, "is_superuser", &recorded.is_superuser, &source.is_superuser);
    insert_change(&mut changes, "attributes", &recorded.attributes, &source.attributes);
    changes
}

fn insert_change<T: PartialEq + Serialize>(changes: &mut Changes, field: &str, from: &T, to: &T) {
    if from != to {
        // Strings, flags and maps with string keys: serializing them cannot fail.
        let json = |value: &T| serde_json::to_value(value).unwrap_or(Value::Null);
        changes.insert(field.to_owned(), Change { from: json(from), to: json(to) });
    }
}

fn fact_event(fact: &Fact, user: User, trigger: &Trigger) -> EventBody {
    let trigger = trigger.clone();
    match fact.clone() {
        Fact::PasswordChanged => EventBody::UserPasswordChanged(UserPasswordChanged { user, trigger }),
        Fact::LoggedIn { client_ip, auth_method } => {
            EventBody::UserLoggedIn(UserLoggedIn { user, client_ip, auth_method, trigger })
        }
        Fact::LoginFailed { client_ip } => {
            EventBody::UserLoginFailed(UserLoginFailed { user, client_ip, trigger })
        }
        Fact::LoggedOut { client_ip } => EventBody::UserLoggedOut(UserLoggedOut { user, client_ip, trigger }),
        Fact::AuthorizedApplication { client_ip, application, scopes } => {
            let data = UserAuthorizedApplication { user, client_ip, application, scopes, trigger };
            EventBody::UserAuthorizedApplication(data)
        }
        Fact::LinkedSource { client_ip, source } => {
            EventBody::UserLinkedSource(UserLinkedSource { user, client_ip, source, trigger })
        }
        Fact::SuspiciousRequest { client_ip } => {
            EventBody::UserSuspiciousRequest(UserSuspiciousRequest { user, client_ip, trigger })
        }
        Fact::ImpersonationStarted { target } => {
            EventBody::UserImpersonationStarted(UserImpersonationStarted { user, target, trigger })
        }
        Fact::ImpersonationEnded { target } => {
            EventBody::UserImpersonationEnded(UserImpersonationEnded { user, target, trigger })
        }
    }
}

#[cfg(test)]
mod tests;
