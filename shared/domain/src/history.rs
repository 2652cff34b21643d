//! What makes the events of one entity a valid history.

use std::collections::BTreeSet;

use crate::event::{EventBody, StateAfter};

/// Why a history is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {index} ({event_type}): {problem}")]
pub struct Violation {
    /// Index of the event at fault.
    pub index: usize,
    /// Its type.
    pub event_type: crate::event::EventType,
    /// What is wrong.
    pub problem: &'static str,
}

/// Checks the events of one user or group, oldest first: registered first, deleted last, nothing repeated,
/// each state the one before it changed by its event alone.
pub fn check(events: &[EventBody]) -> Result<(), Violation> {
    let mut present: Option<&EventBody> = None;
    for (index, event) in events.iter().enumerate() {
        let problem = problem_of(present, event);
        if let Some(problem) = problem {
            return Err(Violation { index, event_type: event.event_type(), problem });
        }
        present = match event.after() {
            StateAfter::User(_) | StateAfter::Group(_) => Some(event),
            StateAfter::UserGone(_) | StateAfter::UserErased | StateAfter::GroupGone(_) => None,
        };
    }
    Ok(())
}

fn problem_of(before: Option<&EventBody>, event: &EventBody) -> Option<&'static str> {
    let begins = matches!(event, EventBody::UserRegistered(_) | EventBody::GroupCreated(_));
    match before {
        None if begins || matches!(event, EventBody::UserErased(_)) => None,
        None => Some("happens to nobody who is registered"),
        Some(_) if begins => Some("begins what has begun"),
        Some(before) => match (before.after(), event.after()) {
            (StateAfter::User(before), StateAfter::User(after) | StateAfter::UserGone(after))
                if before.uuid != after.uuid =>
            {
                Some("is about another uuid")
            }
            (StateAfter::User(before), StateAfter::User(after)) => {
                let same_groups = before.groups == after.groups;
                match event {
                    EventBody::UserUpdated(data) if data.changes.is_empty() => Some("changes nothing"),
                    EventBody::UserDeactivated(_) if !before.is_active => Some("is repeated"),
                    EventBody::UserReactivated(_) if before.is_active => Some("is repeated"),
                    EventBody::UserJoinedGroup(data)
                        if !joined(&before.groups, &after.groups, data.group.uuid) =>
                    {
                        Some("is not the joining it says")
                    }
                    EventBody::UserLeftGroup(data)
                        if !joined(&after.groups, &before.groups, data.group.uuid) =>
                    {
                        Some("is not the leaving it says")
                    }
                    EventBody::UserJoinedGroup(_) | EventBody::UserLeftGroup(_) => None,
                    _ if !same_groups => Some("changes groups silently"),
                    EventBody::UserDeactivated(_) | EventBody::UserReactivated(_) => None,
                    _ if before.is_active != after.is_active => Some("changes is_active silently"),
                    _ => None,
                }
            }
            _ => None,
        },
    }
}

fn joined<T: Ord + Clone>(smaller: &BTreeSet<T>, larger: &BTreeSet<T>, member: T) -> bool {
    let mut expected = smaller.clone();
    expected.insert(member) && expected == *larger
}
