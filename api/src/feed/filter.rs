//! Which events a reader wants, and may have.

use domain::event::EventType;
use domain::key::{Entity, Namespace};

use super::Frame;

/// Which events pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those about this user or group.
    pub entity: Option<Entity>,
    /// Only those of these types; of all where there are none.
    pub types: Vec<EventType>,
}

impl Filter {
    /// Whether the event passes.
    pub fn matches(&self, frame: &Frame) -> bool {
        let type_passes = || frame.event_type.is_some_and(|event_type| self.types.contains(&event_type));
        self.entity.is_none_or(|entity| entity == frame.entity) && (self.types.is_empty() || type_passes())
    }

    /// The narrowest subject that all passing events are on.
    pub fn subject(&self, namespace: &Namespace) -> String {
        let only_type = if let [only] = self.types[..] { Some(only) } else { None };
        namespace.events_filter(self.entity, only_type)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::frame;
    use super::*;

    #[test]
    fn an_event_passes_by_entity_and_type() {
        let frame = frame(7, "user.42.user-updated", "{}").unwrap();
        let check = |entity, types: &[EventType], passes| {
            assert_eq!(Filter { entity, types: types.to_vec() }.matches(&frame), passes);
        };
        check(None, &[], true);
        check(Some(Entity::User(42)), &[EventType::UserUpdated, EventType::UserDeleted], true);
        check(Some(Entity::User(4)), &[], false);
        check(None, &[EventType::UserDeleted], false);
    }

    #[test]
    fn the_server_is_asked_for_as_little_as_possible() {
        let subject = |types: &[EventType]| {
            Filter { entity: Some(Entity::User(42)), types: types.to_vec() }.subject(&Namespace::default())
        };
        assert_eq!(subject(&[EventType::UserUpdated]), "authentik.events.user.42.user-updated");
        assert_eq!(subject(&[EventType::UserUpdated, EventType::UserDeleted]), "authentik.events.user.42.*");
    }
}
