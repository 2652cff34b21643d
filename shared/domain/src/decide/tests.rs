use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::*;
use crate::event::payload::Actor;
use crate::event::{Channel, EventType};
use crate::hint::{Cause, HintTarget};
use crate::history;
use crate::key::{DeliveryId, Entity};

const PK: UserPk = 42;

fn group(n: u128) -> GroupId {
    Uuid::from_u128(n)
}

fn alice() -> User {
    User {
        uuid: Uuid::from_u128(1),
        uid: "hash".into(),
        username: "alice".into(),
        email: "alice@example.com".into(),
        is_active: true,
        kind: "internal".into(),
        path: "users".into(),
        ..User::partial(PK, "Alice".into())
    }
}

fn alice_in(groups: &[u128]) -> User {
    User {
        groups: groups.iter().map(|n| group(*n)).collect(),
        group_names: groups.iter().map(|n| (group(*n), format!("group {n}"))).collect(),
        ..alice()
    }
}

fn hint(action: &str, fact: Option<Fact>) -> Hint {
    Hint {
        target: HintTarget::Entity(Entity::User(PK)),
        created: (action == "model_created").then(|| "Alice".to_owned()),
        fact,
        cause: Cause {
            delivery: DeliveryId::from(Uuid::from_u128(9)),
            channel: Channel::Webhook,
            occurred: None,
            correlation: None,
            trigger: Trigger { action: action.into(), actor: Some(Actor { pk: 3 }) },
        },
    }
}

/// The recorded state that a test starts from.
struct Given(RecordedState<User>);

impl Given {
    fn when_authentik_says(self, source: impl Into<Option<User>>, hint: &Hint) -> Vec<EventBody> {
        let source = source.into();
        let events = decide_user(PK, &self.0, source.as_ref(), hint, hint.fact.as_ref());
        let mut whole = match &self.0 {
            RecordedState::Present(user) => registered(user, None, &Trigger::default()),
            RecordedState::Nothing | RecordedState::Gone => vec![],
        };
        whole.extend(events.iter().cloned());
        assert_eq!(history::check(&whole), Ok(()));
        events
    }
}

fn types(events: &[EventBody]) -> Vec<EventType> {
    events.iter().map(EventBody::event_type).collect()
}

fn present(user: User) -> Given {
    Given(RecordedState::Present(user))
}

#[test]
fn an_unknown_user_is_registered_with_their_groups() {
    let source = User { is_active: false, ..alice_in(&[1, 2]) };
    let events =
        Given(RecordedState::Nothing).when_authentik_says(source.clone(), &hint("model_updated", None));
    let trigger = Trigger { action: "model_updated".into(), actor: Some(Actor { pk: 3 }) };
    assert_eq!(events, [EventBody::UserRegistered(UserRegistered { user: source, partial: false, trigger })]);
}

#[test]
fn a_repeated_hint_records_nothing() {
    let events = present(alice()).when_authentik_says(alice(), &hint("model_updated", None));
    assert_eq!(events, []);
}

#[test]
fn fields_that_are_not_compared_lead_to_no_event() {
    let now: crate::timestamp::Timestamp = "2026-11-22T08:00:00Z".parse().unwrap();
    let source =
        User { last_login: Some(now), last_updated: Some(now), password_change_date: Some(now), ..alice() };
    assert_eq!(present(alice()).when_authentik_says(source, &hint("model_updated", None)), []);
}

#[test]
fn a_change_of_each_compared_field_is_one_update_that_names_it() {
    let attributes = BTreeMap::from([("locale".to_owned(), Value::from("en"))]);
    for (field, source) in [
        ("username", User { username: "al".into(), ..alice() }),
        ("name", User { name: "Al".into(), ..alice() }),
        ("email", User { email: String::new(), ..alice() }),
        ("type", User { kind: "external".into(), ..alice() }),
        ("path", User { path: "elsewhere".into(), ..alice() }),
        ("is_superuser", User { is_superuser: true, ..alice() }),
        ("attributes", User { attributes, ..alice() }),
    ] {
        let events = present(alice()).when_authentik_says(source.clone(), &hint("model_updated", None));
        let [EventBody::UserUpdated(update)] = events.as_slice() else { panic!("{field}: {events:?}") };
        assert_eq!(update.changes.keys().collect::<Vec<_>>(), [field]);
        assert_eq!(update.user, source);
    }
}

#[test]
fn each_difference_is_one_event_and_the_last_one_has_the_state_of_the_source() {
    let source = User { name: "Al".into(), is_active: false, ..alice_in(&[2, 3]) };
    let recorded = User { group_names: BTreeMap::new(), ..alice_in(&[1, 2]) };
    let events = present(recorded).when_authentik_says(source.clone(), &hint("user_write", None));
    let expected = [
        EventType::UserUpdated,
        EventType::UserLeftGroup,
        EventType::UserJoinedGroup,
        EventType::UserDeactivated,
    ];
    assert_eq!(types(&events), expected);
    assert_eq!(RecordedState::from_newest_of_user(&events[3]), RecordedState::Present(source));
}

#[test]
fn a_user_is_deactivated_and_reactivated() {
    let inactive = User { is_active: false, ..alice() };
    let events = present(alice()).when_authentik_says(inactive.clone(), &hint("model_updated", None));
    assert_eq!(types(&events), [EventType::UserDeactivated]);
    let events = present(inactive).when_authentik_says(alice(), &hint("model_updated", None));
    assert_eq!(types(&events), [EventType::UserReactivated]);
}

#[test]
fn a_group_that_a_user_left_has_its_recorded_name() {
    let events = present(alice_in(&[1])).when_authentik_says(alice(), &hint("model_updated", None));
    let [EventBody::UserLeftGroup(left)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(left.group, GroupRef { uuid: group(1), name: "group 1".into() });
    assert_eq!(left.user.groups, BTreeSet::new());
}

#[test]
fn a_deleted_user_is_recorded_with_the_last_recorded_state() {
    let events = present(alice()).when_authentik_says(None, &hint("model_deleted", None));
    let [EventBody::UserDeleted(deleted)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(deleted.user, alice());
}

#[test]
fn a_deletion_is_recorded_once() {
    assert_eq!(Given(RecordedState::Gone).when_authentik_says(None, &hint("model_deleted", None)), []);
}

#[test]
fn a_user_deleted_before_they_were_read_is_registered_partially_and_deleted() {
    let events = Given(RecordedState::Nothing).when_authentik_says(None, &hint("model_created", None));
    let [EventBody::UserRegistered(registered), EventBody::UserDeleted(_)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert!(registered.partial);
    assert_eq!((registered.user.pk, registered.user.name.as_str()), (PK, "Alice"));
}

#[test]
fn a_404_alone_registers_nobody() {
    for action in ["model_updated", "model_deleted", "resync"] {
        assert_eq!(
            Given(RecordedState::Nothing).when_authentik_says(None, &hint(action, None)),
            [],
            "{action}"
        );
    }
}

#[test]
fn another_uuid_under_the_same_key_is_another_user() {
    let other = User { uuid: Uuid::from_u128(2), ..alice() };
    let events = present(alice()).when_authentik_says(other, &hint("model_updated", None));
    assert_eq!(types(&events), [EventType::UserDeleted, EventType::UserRegistered]);
}

#[test]
fn a_deleted_user_who_reappears_is_registered_again() {
    let events = Given(RecordedState::Gone).when_authentik_says(alice(), &hint("model_updated", None));
    assert_eq!(types(&events), [EventType::UserRegistered]);
}

fn facts() -> Vec<(Fact, EventType)> {
    let client_ip = || Some("192.0.2.7".to_owned());
    let application =
        Fact::AuthorizedApplication { client_ip: client_ip(), application: None, scopes: vec![] };
    vec![
        (Fact::PasswordChanged, EventType::UserPasswordChanged),
        (Fact::LoggedIn { client_ip: client_ip(), auth_method: None }, EventType::UserLoggedIn),
        (Fact::LoginFailed { client_ip: client_ip() }, EventType::UserLoginFailed),
        (Fact::LoggedOut { client_ip: client_ip() }, EventType::UserLoggedOut),
        (application, EventType::UserAuthorizedApplication),
        (Fact::LinkedSource { client_ip: client_ip(), source: None }, EventType::UserLinkedSource),
        (Fact::SuspiciousRequest { client_ip: client_ip() }, EventType::UserSuspiciousRequest),
        (Fact::ImpersonationStarted { target: None }, EventType::UserImpersonationStarted),
        (Fact::ImpersonationEnded { target: None }, EventType::UserImpersonationEnded),
    ]
}

#[test]
fn a_fact_is_recorded_with_the_current_state() {
    for (fact, expected) in facts() {
        let events = present(alice()).when_authentik_says(alice(), &hint("x", Some(fact)));
        assert_eq!(types(&events), [expected]);
        assert_eq!(RecordedState::from_newest_of_user(&events[0]), RecordedState::Present(alice()));
    }
}

#[test]
fn a_fact_comes_after_the_differences_and_before_a_deletion() {
    let renamed = User { name: "Al".into(), ..alice() };
    for (fact, expected) in facts() {
        let hint = hint("x", Some(fact));
        let events = present(alice()).when_authentik_says(renamed.clone(), &hint);
        assert_eq!(types(&events), [EventType::UserUpdated, expected]);
        let events = present(alice()).when_authentik_says(None, &hint);
        assert_eq!(types(&events), [expected, EventType::UserDeleted]);
        let events = Given(RecordedState::Nothing).when_authentik_says(alice(), &hint);
        assert_eq!(types(&events), [EventType::UserRegistered, expected]);
    }
}

#[test]
fn a_fact_about_a_deleted_user_is_not_recorded() {
    for (fact, _) in facts() {
        let hint = hint("x", Some(fact));
        assert_eq!(Given(RecordedState::Gone).when_authentik_says(None, &hint), []);
        assert_eq!(Given(RecordedState::Nothing).when_authentik_says(None, &hint), []);
    }
}

fn engineers() -> Group {
    Group {
        uuid: group(1),
        name: "engineers".into(),
        is_superuser: false,
        parents: BTreeSet::new(),
        n_members: 2,
    }
}

fn decide_about_group(recorded: &RecordedState<Group>, source: Option<&Group>) -> Vec<EventType> {
    types(&decide_group(recorded, source, &Trigger::default()))
}

#[test]
fn a_group_is_created_updated_and_deleted() {
    let renamed = Group { name: "builders".into(), ..engineers() };
    let nested = Group { parents: BTreeSet::from([group(2)]), ..engineers() };
    let powerful = Group { is_superuser: true, ..engineers() };
    let recorded = || RecordedState::Present(engineers());
    assert_eq!(decide_about_group(&RecordedState::Nothing, Some(&engineers())), [EventType::GroupCreated]);
    assert_eq!(decide_about_group(&RecordedState::Gone, Some(&engineers())), [EventType::GroupCreated]);
    for changed in [renamed, nested, powerful] {
        assert_eq!(decide_about_group(&recorded(), Some(&changed)), [EventType::GroupUpdated]);
    }
    assert_eq!(decide_about_group(&recorded(), None), [EventType::GroupDeleted]);
    assert_eq!(decide_about_group(&RecordedState::Gone, None), []);
    assert_eq!(decide_about_group(&RecordedState::Nothing, None), []);
}

#[test]
fn a_change_of_the_number_of_members_alone_leads_to_no_event() {
    let larger = Group { n_members: 3, ..engineers() };
    assert_eq!(decide_about_group(&RecordedState::Present(engineers()), Some(&larger)), []);
}

fn erased() -> EventBody {
    let user = crate::event::payload::ErasedUser { pk: PK };
    EventBody::UserErased(crate::event::payload::UserErased { user, trigger: Trigger::default() })
}

#[test]
fn nothing_is_recorded_about_an_erased_user_who_no_longer_exists() {
    let login = Fact::LoggedIn { client_ip: None, auth_method: None };
    for hint in [hint("model_created", None), hint("model_deleted", None), hint("login", Some(login))] {
        let recorded = RecordedState::from_newest_of_user(&erased());
        assert_eq!(Given(recorded).when_authentik_says(None, &hint), []);
    }
}

#[test]
fn an_erased_user_who_still_exists_is_registered_again() {
    let recorded = RecordedState::from_newest_of_user(&erased());
    let events = Given(recorded).when_authentik_says(alice(), &hint("model_updated", None));
    let mut history: Vec<EventBody> = registered(&alice(), None, &Trigger::default());
    history.push(erased());
    history.extend(events);
    assert_eq!(history::check(&history), Ok(()));
    // The erasure deletes the registration. The rest must be a valid history, too.
    assert_eq!(history::check(&history[1..]), Ok(()));
    assert_eq!(history.last().map(EventBody::event_type), Some(EventType::UserRegistered));
}
