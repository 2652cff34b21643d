//! Checks that the events of one user or group form a valid history.

use std::collections::BTreeSet;

use crate::event::{EventBody, StateAfter};

/// Why a history is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {index} ({event_type}): {problem}")]
pub struct Violation {
    /// Index of the invalid event.
    pub index: usize,
    /// Type of the invalid event.
    pub event_type: crate::event::EventType,
    /// What is wrong.
    pub problem: &'static str,
}

/// Checks all events of one user or group, oldest first: a life begins with a registration and ends with a
/// deletion, no event repeats another, and each event changes only the part of the state that its type
/// announces.
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
    let registers = matches!(event, EventBody::UserRegistered(_) | EventBody::GroupCreated(_));
    match before {
        None if registers || matches!(event, EventBody::UserErased(_)) => None,
        None => Some("happens before the registration"),
        Some(_) if registers => Some("registers an entity that is registered already"),
        Some(before) => match (before.after(), event.after()) {
            (StateAfter::User(before), StateAfter::User(after) | StateAfter::UserGone(after))
                if before.uuid != after.uuid =>
            {
                Some("has another uuid than the event before")
            }
            (StateAfter::User(before), StateAfter::User(after)) => {
                let same_groups = before.groups == after.groups;
                match event {
                    EventBody::UserUpdated(data) if data.changes.is_empty() => Some("changes nothing"),
                    EventBody::UserDeactivated(_) if !before.is_active => Some("repeats the state before"),
                    EventBody::UserReactivated(_) if before.is_active => Some("repeats the state before"),
                    EventBody::UserJoinedGroup(data)
                        if !adds(&before.groups, &after.groups, data.group.uuid) =>
                    {
                        Some("does not add exactly the named group")
                    }
                    EventBody::UserLeftGroup(data)
                        if !adds(&after.groups, &before.groups, data.group.uuid) =>
                    {
                        Some("does not remove exactly the named group")
                    }
                    EventBody::UserJoinedGroup(_) | EventBody::UserLeftGroup(_) => None,
                    _ if !same_groups => Some("changes groups although its type does not"),
                    EventBody::UserDeactivated(_) | EventBody::UserReactivated(_) => None,
                    _ if before.is_active != after.is_active => {
                        Some("changes is_active although its type does not")
                    }
                    _ => None,
                }
            }
            _ => None,
        },
    }
}

/// Whether `larger` is `smaller` plus `member`.
fn adds<T: Ord + Clone>(smaller: &BTreeSet<T>, larger: &BTreeSet<T>, member: T) -> bool {
    let mut expected = smaller.clone();
    expected.insert(member) && expected == *larger
}
