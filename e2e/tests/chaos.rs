//! Under random faults, nothing is lost, nothing is duplicated, and everything can be replayed.
//!
//! A failure prints its seed; repeat it with `E2E_SEED=… cargo nextest run -p e2e --test chaos`. `make soak`
//! runs the long forms, which are ignored otherwise.

use std::time::Duration;

use e2e::System;
use e2e::chaos::Chaos;
use e2e::checks::everything_holds;
use e2e::system::Setup;
use serde_json::json;
use testkit::eventually;

/// Size of a test.
struct Amount {
    n_users: usize,
    n_changes: usize,
    /// How long processing everything may take.
    patience: Duration,
}

const SHORT: Amount = Amount { n_users: 20, n_changes: 250, patience: Duration::from_mins(1) };

/// Rebuilds a projection during changes, then checks everything again.
async fn check_rebuild_during_changes(system: &System, chaos: &mut Chaos, amount: &Amount) {
    let changes = async {
        for _ in 0..amount.n_changes / 10 {
            chaos.change().await;
        }
    };
    let (rebuilt, ()) = tokio::join!(system.operate(&["rebuild", "users"]), changes);
    everything_holds(system, amount.patience).await;
    assert!(rebuilt["generation"].as_u64() > Some(1), "{rebuilt}");
}

async fn check_crashes(amount: &Amount) {
    let mut system = System::start_with(Setup { n_ingresses: 2, n_projectors: 2, ..Setup::default() }).await;
    let mut chaos = Chaos::start(&system.authentik, amount.n_users).await;
    let mut next_crash = 0;
    for n in 0..amount.n_changes {
        chaos.change().await;
        if n >= next_crash {
            next_crash = n + 1 + chaos.pick(30);
            let which = chaos.pick(7);
            let killed = system.crash(which).await;
            eprintln!("after {n} changes: killed {killed}");
        }
    }
    system.ready().await;
    everything_holds(&system, amount.patience).await;
    check_rebuild_during_changes(&system, &mut chaos, amount).await;
}

async fn check_convergence(amount: &Amount) {
    let mut system = System::start().await;
    let mut chaos = Chaos::start(&system.authentik, amount.n_users).await;
    system.authentik.faults(json!({"drop_webhooks": 0.3, "duplicate_webhooks": 0.3})).await;
    for _ in 0..amount.n_changes / 2 {
        chaos.change().await;
    }
    system.kill_ingresses().await;
    for _ in 0..amount.n_changes / 2 {
        chaos.change().await;
    }
    eventually("authentik gives up a webhook", || async {
        (system.authentik.n_given_up().await > 0).then_some(())
    })
    .await;
    system.restart_ingresses().await;
    system.authentik.faults(json!({"drop_webhooks": 0.0, "duplicate_webhooks": 0.0})).await;
    everything_holds(&system, amount.patience).await;
    check_rebuild_during_changes(&system, &mut chaos, amount).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_kills_lose_and_duplicate_nothing() {
    check_crashes(&SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn random_kills_during_20_000_changes_lose_and_duplicate_nothing() {
    check_crashes(&Amount { n_users: 2_000, n_changes: 20_000, patience: Duration::from_mins(20) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_duplicated_reordered_and_silent_changes_converge() {
    check_convergence(&SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn dropped_duplicated_reordered_and_silent_changes_converge_after_10_000_changes() {
    check_convergence(&Amount { n_users: 1_000, n_changes: 10_000, patience: Duration::from_mins(20) }).await;
}
