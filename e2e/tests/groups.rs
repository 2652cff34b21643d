//! Changes of memberships: a group's webhook does not name the member.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;

use domain::event::EventType;
use domain::key::Entity;
use e2e::System;
use e2e::checks::{histories_are_valid, recorded};
use e2e::system::Setup;
use testkit::eventually;
use testkit::nats::inbox_is_drained;

const N_MEMBERS: u64 = 300;

/// Number of recorded events of a type, and number of users that they are about.
async fn count(system: &System, wanted: EventType) -> (usize, usize) {
    let events = recorded(system).await;
    let events = events.iter().filter(|event| event.event.body.event_type() == wanted);
    let users: Vec<Entity> = events.map(|event| event.event.subject).collect();
    (users.len(), users.iter().collect::<BTreeSet<_>>().len())
}

/// Number of messages in the inbox after everything is processed.
async fn n_in_inbox(system: &System) -> u64 {
    let nats = system.nats.connect().await;
    inbox_is_drained(&nats).await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    inbox.cached_info().state.messages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_group_webhooks_leads_to_one_or_two_hints_per_member() {
    let mut system = System::start_with(Setup { sweep_interval: 0, ..Setup::default() }).await;
    let group = system.authentik.create_group("everybody").await;
    let mut users = vec![];
    for n in 0..N_MEMBERS {
        users.push(system.authentik.create_user(&format!("user-{n}")).await);
    }
    system.authentik.finish_deliveries().await;
    let n_before = n_in_inbox(&system).await;
    system.kill_projectors().await;
    for pk in &users {
        system.authentik.add_to_group(&group, *pk).await;
    }
    system.authentik.finish_deliveries().await;
    system.restart_projectors().await;
    let n_members = usize::try_from(N_MEMBERS).unwrap();
    eventually("every membership is recorded", || async {
        (count(&system, EventType::UserJoinedGroup).await == (n_members, n_members)).then_some(())
    })
    .await;
    histories_are_valid(&system).await;
    let n_hints = n_in_inbox(&system).await - n_before - N_MEMBERS;
    assert!((N_MEMBERS..=2 * N_MEMBERS).contains(&n_hints), "{n_hints} hints about {N_MEMBERS} members");
}
