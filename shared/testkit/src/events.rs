//! Events for tests to append.

use domain::event::payload::{Trigger, UserRegistered};
use domain::event::{Channel, Event, EventBody};
use domain::key::{Entity, UserPk};
use domain::snapshot::User;

/// The registration of a user named `User <pk>`, with an id for appending it at `position`.
pub fn registered(pk: UserPk, position: u64) -> Event {
    let user = User { is_active: true, ..User::partial(pk, format!("User {pk}")) };
    Event {
        id: format!("user-{pk}-{position}.0"),
        source: "https://auth.example.com".into(),
        subject: Entity::User(pk),
        time: "2026-11-22T08:00:00Z".parse().expect("a time"),
        approximate: false,
        dataschema: "http://localhost:3000/api/schemas/user-registered/v1".into(),
        causationid: "cause".parse().expect("an id of a delivery"),
        correlationid: None,
        channel: Channel::Webhook,
        body: EventBody::UserRegistered(UserRegistered { user, partial: false, trigger: Trigger::default() }),
    }
}
