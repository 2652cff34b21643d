//! What must be recorded so that the log comes to agree with authentik.

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

/// What the newest event of a user or group says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedState<S> {
    /// Nothing was ever recorded.
    Nothing,
    /// This is the recorded state.
    Present(S),
    /// It was recorded as deleted.
    Gone,
}

impl RecordedState<User> {
    /// What the newest event of a user says of them.
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
    /// What the newest event of a group says of it.
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

/// What must be recorded about a user. `fact` is that of the hint, unless it is recorded already.
///
/// Returns nothing where log and source agree, so a repeated hint changes nothing.
pub fn decide_user(
    pk: UserPk,
    known: &RecordedState<User>,
    source: Option<&User>,
    hint: &Hint,
    fact: Option<&Fact>,
) -> Vec<EventBody> {
    let trigger = &hint.cause.trigger;
    match (known, source) {
        (RecordedState::Nothing, None) => match &hint.created {
            Some(name) => came_and_went(User::partial(pk, name.clone()), trigger),
            None => vec![],
        },
        (RecordedState::Gone, None) => vec![],
        (RecordedState::Nothing | RecordedState::Gone, Some(source)) => registered(source, fact, trigger),
        (RecordedState::Present(known), None) => {
            let mut events: Vec<_> =
                fact.map(|fact| fact_event(fact, known.clone(), trigger)).into_iter().collect();
            events.push(deleted(known, trigger));
            events
        }
        // authentik was restored: the key means somebody else now.
        (RecordedState::Present(known), Some(source)) if known.uuid != source.uuid => {
            let mut events = vec![deleted(known, trigger)];
            events.extend(registered(source, fact, trigger));
            events
        }
        (RecordedState::Present(known), Some(source)) => {
            let mut events = user_differences(known, source, trigger);
            events.extend(fact.map(|fact| fact_event(fact, source.clone(), trigger)));
            events
        }
    }
}

/// What must be recorded about a group.
pub fn decide_group(
    known: &RecordedState<Group>,
    source: Option<&Group>,
    trigger: &Trigger,
) -> Vec<EventBody> {
    let trigger = trigger.clone();
    match (known, source) {
        (RecordedState::Nothing | RecordedState::Gone, None) => vec![],
        (RecordedState::Nothing | RecordedState::Gone, Some(source)) => {
            vec![EventBody::GroupCreated(GroupCreated { group: source.clone(), trigger })]
        }
        (RecordedState::Present(known), None) => {
            vec![EventBody::GroupDeleted(GroupDeleted { group: known.clone(), trigger })]
        }
        (RecordedState::Present(known), Some(source)) => {
            let mut changes = Changes::new();
            note(&mut changes, "name", &known.name, &source.name);
            note(&mut changes, "is_superuser", &known.is_superuser, &source.is_superuser);
            note(&mut changes, "parents", &known.parents, &source.parents);
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

fn came_and_went(user: User, trigger: &Trigger) -> Vec<EventBody> {
    let gone = deleted(&user, trigger);
    vec![EventBody::UserRegistered(UserRegistered { user, partial: true, trigger: trigger.clone() }), gone]
}

fn deleted(known: &User, trigger: &Trigger) -> EventBody {
    EventBody::UserDeleted(UserDeleted { user: known.clone(), trigger: trigger.clone() })
}

/// One event a difference, each with the state after it; the last one has the state of the source.
fn user_differences(known: &User, source: &User, trigger: &Trigger) -> Vec<EventBody> {
    let trigger = || trigger.clone();
    let mut events = vec![];
    // What is carried without making an event comes along with the first one.
    let newest_name = |id| source.group_names.get(id).or_else(|| known.group_names.get(id));
    let mut user = User {
        is_active: known.is_active,
        groups: known.groups.clone(),
        group_names: known.groups.iter().filter_map(|id| Some((*id, newest_name(id)?.clone()))).collect(),
        ..source.clone()
    };
    let changes = field_changes(known, source);
    if !changes.is_empty() {
        events.push(EventBody::UserUpdated(UserUpdated { user: user.clone(), changes, trigger: trigger() }));
    }
    for id in known.groups.difference(&source.groups) {
        let group = group_ref(*id, &user);
        user.groups.remove(id);
        user.group_names.remove(id);
        events.push(EventBody::UserLeftGroup(UserLeftGroup {
            user: user.clone(),
            group,
            trigger: trigger(),
        }));
    }
    for id in source.groups.difference(&known.groups) {
        let group = group_ref(*id, source);
        user.groups.insert(*id);
        user.group_names.insert(*id, group.name.clone());
        events.push(EventBody::UserJoinedGroup(UserJoinedGroup {
            user: user.clone(),
            group,
            trigger: trigger(),
        }));
    }
    if known.is_active != source.is_active {
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

fn field_changes(known: &User, source: &User) -> Changes {
    let mut changes = Changes::new();
    note(&mut changes, "username", &known.username, &source.username);
    note(&mut changes, "name", &known.name, &source.name);
    note(&mut changes, "email", &known.email, &source.email);
    note(&mut changes, "type", &known.kind, &source.kind);
    note(&mut changes, "path", &known.path, &source.path);
    note(&mut changes, "is_superuser", &known.is_superuser, &source.is_superuser);
    note(&mut changes, "attributes", &known.attributes, &source.attributes);
    changes
}

fn note<T: PartialEq + Serialize>(changes: &mut Changes, field: &str, from: &T, to: &T) {
    if from != to {
        // Strings, flags and maps with text for keys: none of them can fail to be JSON.
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
