//! Folding: what views contain, and that interruptions and repetitions change no byte.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;

use domain::event::payload::ErasedUser;
use domain::event::payload::{
    GroupCreated, GroupDeleted, GroupRef, Trigger, UserDeactivated, UserDeleted, UserErased, UserJoinedGroup,
    UserLeftGroup, UserLoggedIn, UserRegistered,
};
use domain::event::{Channel, Event, EventBody, EventType, Recorded};
use domain::key::{DeliveryId, Entity};
use domain::snapshot::{Group, User};
use domain::view::activity::Activity;
use domain::view::groups::Groups;
use domain::view::users::{UserStatus, Users};
use domain::view::{Projection, Views};
use proptest::prelude::*;
use uuid::Uuid;

fn group(n: u8) -> Uuid {
    Uuid::from_u128(100 + u128::from(n))
}

fn user(pk: i64, groups: &[u8]) -> User {
    let groups = groups.iter().map(|n| group(*n)).collect();
    User { uuid: Uuid::from_u128(7), is_active: true, groups, ..User::partial(pk, "a".into()) }
}

fn registered(pk: i64, groups: &[u8]) -> EventBody {
    EventBody::UserRegistered(UserRegistered {
        user: user(pk, groups),
        partial: false,
        trigger: Trigger::default(),
    })
}

fn deleted(pk: i64, groups: &[u8]) -> EventBody {
    EventBody::UserDeleted(UserDeleted { user: user(pk, groups), trigger: Trigger::default() })
}

fn joined(pk: i64, n: u8) -> EventBody {
    let group = GroupRef { uuid: group(n), name: String::new() };
    EventBody::UserJoinedGroup(UserJoinedGroup { user: user(pk, &[n]), group, trigger: Trigger::default() })
}

fn left(pk: i64, n: u8) -> EventBody {
    let group = GroupRef { uuid: group(n), name: String::new() };
    EventBody::UserLeftGroup(UserLeftGroup { user: user(pk, &[]), group, trigger: Trigger::default() })
}

fn group_created(n: u8) -> EventBody {
    let parents = BTreeSet::new();
    let group =
        Group { uuid: group(n), name: format!("group {n}"), is_superuser: false, parents, n_members: 0 };
    EventBody::GroupCreated(GroupCreated { group, trigger: Trigger::default() })
}

fn recorded(sequence: u64, subject: Entity, body: EventBody) -> Recorded {
    let time = "2026-11-22T08:00:00Z".parse().unwrap();
    // Ten events per day.
    let stored = format!("2026-11-{:02}T00:00:00Z", 1 + sequence / 10).parse().unwrap();
    let event = Event {
        id: format!("{sequence}"),
        source: "https://auth.example.com".into(),
        subject,
        time,
        approximate: false,
        dataschema: "http://localhost:3000/api/schemas/x/v1".into(),
        causationid: DeliveryId::from(Uuid::nil()),
        correlationid: None,
        channel: Channel::Webhook,
        body,
    };
    Recorded { sequence, stored, event }
}

fn fold<P: Projection>(bodies: Vec<(Entity, EventBody)>) -> Views<P> {
    let mut views = Views::default();
    for (sequence, (subject, body)) in (1..).zip(bodies) {
        views.apply(&recorded(sequence, subject, body));
    }
    views
}

fn of_user(pk: i64, bodies: impl IntoIterator<Item = EventBody>) -> Vec<(Entity, EventBody)> {
    bodies.into_iter().map(|body| (Entity::User(pk), body)).collect()
}

#[test]
fn a_users_view_has_the_newest_state_and_the_sequence_of_the_latest_registration() {
    let inactive = User { is_active: false, ..user(1, &[]) };
    let deactivated =
        EventBody::UserDeactivated(UserDeactivated { user: inactive.clone(), trigger: Trigger::default() });
    let views =
        fold::<Users>(of_user(1, [registered(1, &[]), deleted(1, &[]), registered(1, &[]), deactivated]));
    let view = views.get("1").unwrap();
    assert_eq!((view.status, view.registered_sequence, view.sequence), (UserStatus::Inactive, 3, 4));
    assert_eq!(view.present(), Some(&inactive));
}

#[test]
fn a_deleted_user_leaves_a_tombstone_and_an_erased_user_leaves_no_personal_data() {
    let views = fold::<Users>(of_user(1, [registered(1, &[]), deleted(1, &[])]));
    assert_eq!(views.get("1").unwrap().status, UserStatus::Deleted);
    let erased =
        EventBody::UserErased(UserErased { user: ErasedUser { pk: 1 }, trigger: Trigger::default() });
    let views = fold::<Users>(of_user(1, [registered(1, &[]), deleted(1, &[]), erased]));
    let view = views.get("1").unwrap();
    assert_eq!((view.status, &view.user, view.registered), (UserStatus::Erased, &None, None));
}

#[test]
fn the_view_of_an_erased_user_does_not_depend_on_erased_events() {
    let erased =
        EventBody::UserErased(UserErased { user: ErasedUser { pk: 1 }, trigger: Trigger::default() });
    let before = fold::<Users>(of_user(1, [registered(1, &[]), erased.clone()]));
    let mut after = Views::<Users>::default();
    after.apply(&recorded(2, Entity::User(1), erased));
    assert_eq!(before.get("1"), after.get("1"));
}

#[test]
fn a_group_counts_its_members_whether_user_or_group_is_recorded_first() {
    let mut events = of_user(1, [registered(1, &[1, 2])]);
    events.push((Entity::Group(group(1)), group_created(1)));
    events.extend(of_user(2, [registered(2, &[]), joined(2, 1)]));
    let views = fold::<Groups>(events.clone());
    let count = |views: &Views<Groups>, n| views.get(&group(n).to_string()).unwrap().n_members;
    assert_eq!((count(&views, 1), count(&views, 2)), (2, 1));
    events.extend(of_user(2, [left(2, 1)]));
    events.extend(of_user(1, [deleted(1, &[1, 2])]));
    let views = fold::<Groups>(events);
    assert_eq!((count(&views, 1), count(&views, 2)), (0, 0));
}

#[test]
fn a_deleted_group_is_marked_as_deleted() {
    let EventBody::GroupCreated(created) = group_created(1) else { unreachable!() };
    let gone = EventBody::GroupDeleted(GroupDeleted { group: created.group, trigger: Trigger::default() });
    let subject = Entity::Group(group(1));
    let views = fold::<Groups>(vec![(subject, group_created(1)), (subject, gone)]);
    assert!(views.get(&group(1).to_string()).unwrap().deleted);
}

#[test]
fn activity_counts_events_by_type_and_by_the_day_they_were_stored() {
    let login = |_| {
        let data = UserLoggedIn {
            user: user(1, &[]),
            client_ip: None,
            auth_method: None,
            trigger: Trigger::default(),
        };
        EventBody::UserLoggedIn(data)
    };
    let views = fold::<Activity>(of_user(1, std::iter::once(registered(1, &[])).chain((0..12).map(login))));
    let counts = |day: &str| views.get(day).unwrap().counts.clone();
    assert_eq!(counts("2026-11-01")[&EventType::UserRegistered], 1);
    assert_eq!(counts("2026-11-01")[&EventType::UserLoggedIn], 8);
    assert_eq!(counts("2026-11-02")[&EventType::UserLoggedIn], 4);
}

fn any_event() -> impl Strategy<Value = (Entity, EventBody)> {
    (0..4_i64, 0..3_u8, 0..5_u8).prop_map(|(pk, n, kind)| match kind {
        0 => (Entity::User(pk), registered(pk, &[n])),
        1 => (Entity::User(pk), deleted(pk, &[n])),
        2 => (Entity::User(pk), joined(pk, n)),
        3 => (Entity::User(pk), left(pk, n)),
        _ => (Entity::Group(group(n)), group_created(n)),
    })
}

fn bytes<P: Projection>(views: &Views<P>) -> String {
    let lines: Vec<_> =
        views.iter().map(|(key, view)| format!("{key}={}", serde_json::to_string(view).unwrap())).collect();
    lines.join("\n")
}

/// Folds `stop` events, stops, and continues from a checkpoint that the stored views can be ahead of.
fn fold_interrupted<P: Projection>(
    events: &[(Entity, EventBody)],
    stop: usize,
    checkpoint: usize,
) -> Views<P> {
    let fold_until = |end: usize| fold::<P>(events[..end].to_vec());
    let ahead = fold_until(stop);
    let stored = ahead.iter().map(|(key, view)| (key.clone(), view.clone())).collect();
    let mut views = Views::loaded(stored, checkpoint as u64);
    // Continue from the checkpoint and read up to two events again.
    for (index, (subject, body)) in events.iter().enumerate().skip(checkpoint.saturating_sub(2)) {
        views.apply(&recorded(index as u64 + 1, *subject, body.clone()));
    }
    views
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn interruptions_and_repetitions_change_no_byte(
        events in proptest::collection::vec(any_event(), 1..40),
        cut in (0..40_usize, 0..40_usize),
    ) {
        let stop = cut.0 % (events.len() + 1);
        let checkpoint = cut.1 % (stop + 1);
        prop_assert_eq!(bytes(&fold::<Users>(events.clone())), bytes(&fold_interrupted::<Users>(&events, stop, checkpoint)));
        prop_assert_eq!(bytes(&fold::<Groups>(events.clone())), bytes(&fold_interrupted::<Groups>(&events, stop, checkpoint)));
        prop_assert_eq!(bytes(&fold::<Activity>(events.clone())), bytes(&fold_interrupted::<Activity>(&events, stop, checkpoint)));
    }
}
