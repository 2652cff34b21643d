//! Memberships, of which a group's webhook does not say whose it was.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;

use domain::event::EventType;
use domain::key::Entity;
use e2e::System;
use e2e::checks::{nothing_is_there_twice, recorded};
use e2e::system::Setup;
use testkit::eventually;
use testkit::nats::inbox_is_drained;

const N_MEMBERS: u64 = 300;

/// How many events of a type are recorded, and of how many users.
async fn count(system: &System, wanted: EventType) -> (usize, usize) {
    let events = recorded(system).await;
    let events = events.iter().filter(|event| event.event.body.event_type() == wanted);
    let users: Vec<Entity> = events.map(|event| event.event.subject).collect();
    (users.len(), users.iter().collect::<BTreeSet<_>>().len())
}

async fn n_in_inbox(system: &System) -> u64 {
    let nats = system.nats.connect().await;
    inbox_is_drained(&nats).await;
    let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
    inbox.cached_info().state.messages
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_backlog_each_member_is_hinted_at_once_or_twice_not_once_a_webhook() {
    let mut system = System::start_with(Setup { sweep_interval: 0, ..Setup::default() }).await;
    let group = system.authentik.create_group("everybody").await;
    let mut users = vec![];
    for n in 0..N_MEMBERS {
        users.push(system.authentik.create_user(&format!("user-{n}")).await);
    }
    eventually("every webhook is told", || async { (system.authentik.n_pending().await == 0).then_some(()) })
        .await;
    let n_before = n_in_inbox(&system).await;
    system.kill_projectors().await;
    for pk in &users {
        system.authentik.add_to_group(&group, *pk).await;
    }
    eventually("every webhook is told", || async { (system.authentik.n_pending().await == 0).then_some(()) })
        .await;
    system.restart_projectors().await;
    let n_members = usize::try_from(N_MEMBERS).unwrap();
    eventually("every joining is recorded", || async {
        (count(&system, EventType::UserJoinedGroup).await == (n_members, n_members)).then_some(())
    })
    .await;
    nothing_is_there_twice(&system).await;
    let n_hints = n_in_inbox(&system).await - n_before - N_MEMBERS;
    assert!((N_MEMBERS..=2 * N_MEMBERS).contains(&n_hints), "{n_hints} hints at {N_MEMBERS} members");
}
