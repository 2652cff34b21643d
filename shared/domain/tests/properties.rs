//! For any changes of a user and any order of hints, the log ends valid and with authentik's state.

use std::collections::BTreeSet;

use domain::decide::RecordedState;
use domain::event::payload::Trigger;
use domain::event::{Channel, EventBody};
use domain::hint::{Cause, Fact, Hint, HintTarget};
use domain::history;
use domain::key::{DeliveryId, Entity};
use domain::rule::{AboutUser, LogEnd, Rule, Step};
use domain::snapshot::User;
use proptest::prelude::*;
use uuid::Uuid;

const PK: i64 = 7;

#[derive(Clone, Debug)]
enum Change {
    Create,
    Rename(u8),
    Activate(bool),
    SetGroups(BTreeSet<u8>),
    Delete,
    SignIn,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Create),
        (0..3_u8).prop_map(Change::Rename),
        any::<bool>().prop_map(Change::Activate),
        proptest::collection::btree_set(0..4_u8, 0..3).prop_map(Change::SetGroups),
        Just(Change::Delete),
        Just(Change::SignIn),
    ]
}

fn apply(source: Option<User>, change: &Change, n_created: &mut u128) -> Option<User> {
    match (source, change) {
        (None, Change::Create) => {
            *n_created += 1;
            // authentik generates a new uuid for each account.
            Some(User { uuid: Uuid::from_u128(*n_created), is_active: true, ..User::partial(PK, "a".into()) })
        }
        (None, _) | (Some(_), Change::Delete) => None,
        (Some(user), Change::Rename(n)) => Some(User { name: format!("name {n}"), ..user }),
        (Some(user), Change::Activate(is_active)) => Some(User { is_active: *is_active, ..user }),
        (Some(user), Change::SetGroups(groups)) => {
            let id = |n: &u8| Uuid::from_u128(100 + u128::from(*n));
            let group_names = groups.iter().map(|n| (id(n), format!("group {n}"))).collect();
            Some(User { groups: groups.iter().map(id).collect(), group_names, ..user })
        }
        (Some(user), Change::Create | Change::SignIn) => Some(user),
    }
}

fn hint_of(number: usize, change: &Change) -> Hint {
    Hint {
        target: HintTarget::Entity(Entity::User(PK)),
        created: matches!(change, Change::Create).then(|| "a".to_owned()),
        fact: matches!(change, Change::SignIn)
            .then_some(Fact::LoggedIn { client_ip: None, auth_method: None }),
        cause: Cause {
            delivery: DeliveryId::from(Uuid::from_u128(number as u128)),
            channel: Channel::Webhook,
            occurred: None,
            correlation: None,
            trigger: Trigger::default(),
        },
    }
}

/// Processes one hint without another worker.
fn process(log: &mut Vec<(EventBody, DeliveryId)>, source: Option<&User>, hint: &Hint) {
    let mut rule = Rule::new(AboutUser { pk: PK, hint: hint.clone() });
    let mut step = rule.start();
    loop {
        step = match step {
            Step::ReadLog => rule.log_read(LogEnd {
                position: log.len() as u64,
                recorded: log
                    .last()
                    .map_or(RecordedState::Nothing, |(event, _)| RecordedState::from_newest_of_user(event)),
            }),
            Step::ReadSource => rule.source_read(source.cloned()),
            Step::SeekCause { .. } => {
                rule.cause_sought(log.iter().any(|(_, cause)| *cause == hint.cause.delivery))
            }
            Step::Append { events, .. } => {
                let n_events = events.len();
                log.extend(events.into_iter().map(|event| (event, hint.cause.delivery.clone())));
                rule.appended(Ok(n_events))
            }
            Step::Done => return,
        };
    }
}

/// Processes hints while the source keeps changing. Each delivery is the index of a hint and the index of the
/// change after which the hint arrives.
fn check(changes: &[Change], deliveries: &[(usize, usize)]) -> Result<(), TestCaseError> {
    let mut log = vec![];
    let mut source = None;
    let mut n_created = 0;
    for (now, change) in changes.iter().enumerate() {
        source = apply(source, change, &mut n_created);
        for (hint, when) in deliveries {
            let hint = hint % changes.len();
            if hint <= now && when % changes.len() == now {
                process(&mut log, source.as_ref(), &hint_of(hint, &changes[hint]));
            }
        }
    }
    // Delivery at least once: every hint arrives in the end, here in reverse order.
    for hint in (0..changes.len()).rev() {
        process(&mut log, source.as_ref(), &hint_of(hint, &changes[hint]));
    }
    let events: Vec<EventBody> = log.iter().map(|(event, _)| event.clone()).collect();
    prop_assert_eq!(history::check(&events), Ok(()));
    let recorded = events.last().map_or(RecordedState::Nothing, RecordedState::from_newest_of_user);
    match (&recorded, &source) {
        (RecordedState::Present(recorded), Some(source)) => prop_assert_eq!(recorded, source),
        (RecordedState::Nothing | RecordedState::Gone, None) => {}
        _ => prop_assert!(false, "recorded {:?}, but authentik says {:?}", recorded, source),
    }
    let mut facts = BTreeSet::new();
    for (_, cause) in log.iter().filter(|(event, _)| matches!(event, EventBody::UserLoggedIn(_))) {
        prop_assert!(facts.insert(cause.clone()), "a fact is recorded twice");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_number_of_hints_ends_in_a_valid_history_and_the_state_of_the_source(
        changes in proptest::collection::vec(change(), 1..12),
        deliveries in proptest::collection::vec((0..12_usize, 0..12_usize), 0..30),
    ) {
        check(&changes, &deliveries)?;
    }

    #[test]
    fn the_hint_parser_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = domain::hint::read(DeliveryId::from(Uuid::nil()), Channel::Webhook, &body);
    }
}
