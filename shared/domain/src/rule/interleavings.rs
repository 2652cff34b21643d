//! Runs the rule in memory, in every interleaving of two workers, changes in authentik, and one crash.

use std::collections::{BTreeSet, HashSet, VecDeque};

use super::{AboutUser, Conflict, LogEnd, Rule, Step};
use crate::decide::RecordedState;
use crate::event::payload::Trigger;
use crate::event::{Channel, EventBody};
use crate::hint::{Cause, Fact, Hint, HintTarget};
use crate::history;
use crate::key::{DeliveryId, Entity};
use crate::snapshot::User;

const PK: i64 = 42;

fn user(name: &str) -> User {
    User { uuid: uuid::Uuid::from_u128(7), is_active: true, ..User::partial(PK, name.to_owned()) }
}

fn hint(delivery: u128, fact: Option<Fact>, created: bool) -> Hint {
    Hint {
        target: HintTarget::Entity(Entity::User(PK)),
        created: created.then(|| "somebody".to_owned()),
        fact,
        cause: Cause {
            delivery: DeliveryId::from(uuid::Uuid::from_u128(delivery)),
            channel: Channel::Webhook,
            occurred: None,
            correlation: None,
            trigger: Trigger::default(),
        },
    }
}

/// A change in authentik: the state after it, and the hint that authentik sends.
#[derive(Clone)]
struct Change {
    after: Option<User>,
    hint: Hint,
}

/// The whole state of authentik, inbox, log and workers at one moment.
#[derive(Clone)]
struct World {
    /// Appended events, each with the delivery that caused it.
    log: Vec<(EventBody, DeliveryId)>,
    source: Option<User>,
    changes: VecDeque<Change>,
    inbox: VecDeque<Hint>,
    workers: [Option<Working>; 2],
    crashes_left: u32,
    /// How many more hints may be delivered to both workers at once, as after a late acknowledgement.
    duplicates_left: u32,
    skip_second_pass: bool,
    /// Number of facts that must be recorded at the end, if it is the same in every interleaving.
    n_facts: Option<usize>,
}

#[derive(Clone)]
struct Working {
    hint: Hint,
    rule: Rule<AboutUser>,
    step: Step,
}

impl World {
    fn new(recorded: Option<User>, changes: impl IntoIterator<Item = Change>) -> Self {
        let registered = recorded.clone().map(|user| {
            let body = EventBody::UserRegistered(crate::event::payload::UserRegistered {
                user,
                partial: false,
                trigger: Trigger::default(),
            });
            (body, DeliveryId::from(uuid::Uuid::nil()))
        });
        Self {
            log: registered.into_iter().collect(),
            source: recorded,
            changes: changes.into_iter().collect(),
            inbox: VecDeque::new(),
            workers: [None, None],
            crashes_left: 1,
            duplicates_left: 1,
            skip_second_pass: false,
            n_facts: None,
        }
    }

    /// All worlds that can follow. Empty at the end.
    fn successors(&self) -> Vec<Self> {
        let mut next = vec![];
        if !self.changes.is_empty() {
            next.push(self.with(Self::change));
        }
        for worker in 0..2 {
            if self.workers[worker].is_some() {
                next.push(self.with(|world| world.advance(worker)));
                if self.crashes_left > 0 {
                    next.push(self.with(|world| world.crash(worker)));
                }
            } else {
                for index in 0..self.inbox.len() {
                    next.push(self.with(|world| world.take(worker, index)));
                    if self.duplicates_left > 0 && self.inbox[index].fact.is_some() {
                        next.push(self.with(|world| world.take_duplicate(worker, index)));
                    }
                }
            }
        }
        next
    }

    fn with(&self, act: impl FnOnce(&mut Self)) -> Self {
        let mut world = self.clone();
        act(&mut world);
        world
    }

    fn change(&mut self) {
        if let Some(change) = self.changes.pop_front() {
            self.source = change.after;
            self.inbox.push_back(change.hint);
        }
    }

    /// Takes any hint of the inbox: authentik sends webhooks out of order.
    fn take(&mut self, worker: usize, index: usize) {
        if let Some(hint) = self.inbox.remove(index) {
            let mut rule = Rule::new(AboutUser { pk: PK, hint: hint.clone() });
            rule.skip_second_pass = self.skip_second_pass;
            let step = rule.start();
            self.workers[worker] = Some(Working { hint, rule, step });
        }
    }

    fn take_duplicate(&mut self, worker: usize, index: usize) {
        self.duplicates_left -= 1;
        self.inbox.push_back(self.inbox[index].clone());
        self.take(worker, index);
    }

    /// The worker did not acknowledge its hint: the hint is delivered again.
    fn crash(&mut self, worker: usize) {
        self.crashes_left -= 1;
        if let Some(working) = self.workers[worker].take() {
            self.inbox.push_back(working.hint);
        }
    }

    fn advance(&mut self, worker: usize) {
        let Some(mut working) = self.workers[worker].take() else { return };
        working.step = match working.step {
            Step::ReadLog => working.rule.log_read(self.log_end()),
            Step::ReadSource => working.rule.source_read(self.source.clone()),
            Step::SeekCause { until } => {
                let until = usize::try_from(until).unwrap();
                let found = self.log[..until].iter().any(|(_, cause)| *cause == working.hint.cause.delivery);
                working.rule.cause_sought(found)
            }
            Step::Append { position, events } => {
                if position == self.log.len() as u64 {
                    let n_events = events.len();
                    let cause = &working.hint.cause.delivery;
                    self.log.extend(events.into_iter().map(|event| (event, cause.clone())));
                    working.rule.appended(Ok(n_events))
                } else {
                    working.rule.appended(Err(Conflict))
                }
            }
            Step::Done => return,
        };
        self.workers[worker] = Some(working);
    }

    fn log_end(&self) -> LogEnd<User> {
        let recorded = self
            .log
            .last()
            .map_or(RecordedState::Nothing, |(event, _)| RecordedState::from_newest_of_user(event));
        LogEnd { position: self.log.len() as u64, recorded }
    }

    /// Worlds with equal keys have the same successors.
    fn key(&self) -> String {
        let workers = self.workers.each_ref().map(|working| {
            working.as_ref().map(|working| {
                let rule = &working.rule;
                (
                    working.hint.cause.delivery.clone(),
                    rule.log_end.as_ref().map(|log_end| log_end.position),
                    rule.source.clone(),
                    rule.fact,
                    format!("{:?}", working.step),
                )
            })
        });
        let inbox: Vec<_> = self.inbox.iter().map(|hint| hint.cause.delivery.clone()).collect();
        let log: Vec<_> = self
            .log
            .iter()
            .map(|(event, cause)| (event.event_type(), format!("{:?}", event.after()), cause))
            .collect();
        let left = (self.changes.len(), self.crashes_left, self.duplicates_left);
        format!("{log:?}{:?}{left:?}{inbox:?}{workers:?}", self.source)
    }

    /// What is wrong with a world at its end, if anything.
    fn violation(&self) -> Option<String> {
        let events: Vec<EventBody> = self.log.iter().map(|(event, _)| event.clone()).collect();
        if let Err(violation) = history::check(&events) {
            return Some(violation.to_string());
        }
        let agrees = match (self.log_end().recorded, &self.source) {
            (RecordedState::Present(recorded), Some(source)) => recorded == *source,
            (RecordedState::Nothing | RecordedState::Gone, None) => true,
            _ => false,
        };
        if !agrees {
            return Some("log and authentik do not agree".to_owned());
        }
        let mut facts = BTreeSet::new();
        let is_fact = |event: &EventBody| {
            matches!(event, EventBody::UserLoggedIn(_) | EventBody::UserPasswordChanged(_))
        };
        for (event, cause) in &self.log {
            if is_fact(event) && !facts.insert(cause.clone()) {
                return Some(format!("a fact is recorded twice: {}", event.event_type()));
            }
        }
        self.n_facts.filter(|expected| *expected != facts.len()).map(|_| "a fact is missing".to_owned())
    }
}

/// Explores all interleavings. Returns the number of ends, or the violation at one of them.
fn explore(start: World) -> Result<usize, String> {
    let mut seen = HashSet::new();
    let mut worlds = vec![start];
    let mut n_ends = 0;
    while let Some(world) = worlds.pop() {
        if !seen.insert(world.key()) {
            continue;
        }
        let successors = world.successors();
        if successors.is_empty() {
            n_ends += 1;
            if let Some(violation) = world.violation() {
                let log: Vec<_> = world.log.iter().map(|(event, _)| event.event_type()).collect();
                return Err(format!("{violation}: {log:?}"));
            }
        }
        worlds.extend(successors);
    }
    Ok(n_ends)
}

fn login() -> Fact {
    Fact::LoggedIn { client_ip: None, auth_method: None }
}

fn rename_and_revert() -> World {
    let changes = [
        Change { after: Some(user("new")), hint: hint(1, None, false) },
        Change { after: Some(user("old")), hint: hint(2, None, false) },
    ];
    World::new(Some(user("old")), changes)
}

#[test]
fn a_reverted_change_ends_in_agreement_in_every_interleaving() {
    assert!(explore(rename_and_revert()).unwrap() > 0);
}

#[test]
fn without_the_second_pass_an_older_state_can_remain() {
    let violation = explore(World { skip_second_pass: true, ..rename_and_revert() }).unwrap_err();
    assert!(violation.contains("do not agree"), "{violation}");
}

#[test]
fn a_user_who_is_soon_deleted_has_a_valid_history_in_every_interleaving() {
    let changes = [
        Change { after: Some(user("new")), hint: hint(1, None, true) },
        Change { after: Some(user("new")), hint: hint(2, Some(login()), false) },
        Change { after: None, hint: hint(3, None, false) },
    ];
    assert!(explore(World::new(None, changes)).unwrap() > 0);
}

#[test]
fn a_fact_delivered_to_both_workers_is_recorded_once_in_every_interleaving() {
    let changes = [
        Change { after: Some(user("old")), hint: hint(1, Some(login()), false) },
        Change { after: Some(user("new")), hint: hint(2, Some(Fact::PasswordChanged), false) },
    ];
    let world = World { n_facts: Some(2), ..World::new(Some(user("old")), changes) };
    assert!(explore(world).unwrap() > 0);
}
