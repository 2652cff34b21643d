//! Selects events by entity and type.

use domain::event::EventType;
use domain::key::{Entity, Namespace};

use super::frame::Frame;

/// Selects events by entity and type. The default matches every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only events about this user or group.
    pub entity: Option<Entity>,
    /// Only events of these types. Empty means every type.
    pub types: Vec<EventType>,
}

impl Filter {
    /// Whether the event passes the filter.
    pub fn matches(&self, frame: &Frame) -> bool {
        let type_passes = || frame.event_type.is_some_and(|event_type| self.types.contains(&event_type));
        self.entity.is_none_or(|entity| entity == frame.entity) && (self.types.is_empty() || type_passes())
    }

    /// The narrowest subject that covers all matching events.
    pub fn subject(&self, namespace: &Namespace) -> String {
        let only_type = if let [only] = self.types[..] { Some(only) } else { None };
        namespace.events_filter(self.entity, only_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::frame::frame;

    #[test]
    fn an_event_matches_by_entity_and_type() {
        let frame = frame(7, "user.42.user-updated", "{}").unwrap();
        let check = |entity, types: &[EventType], matches| {
            assert_eq!(Filter { entity, types: types.to_vec() }.matches(&frame), matches);
        };
        check(None, &[], true);
        check(Some(Entity::User(42)), &[EventType::UserUpdated, EventType::UserDeleted], true);
        check(Some(Entity::User(4)), &[], false);
        check(None, &[EventType::UserDeleted], false);
    }

    #[test]
    fn the_subject_of_a_filter_is_as_narrow_as_possible() {
        let subject = |types: &[EventType]| {
            Filter { entity: Some(Entity::User(42)), types: types.to_vec() }.subject(&Namespace::default())
        };
        assert_eq!(subject(&[EventType::UserUpdated]), "authentik.events.user.42.user-updated");
        assert_eq!(subject(&[EventType::UserUpdated, EventType::UserDeleted]), "authentik.events.user.42.*");
    }
}
