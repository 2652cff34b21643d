//! Nothing lost, nothing twice, everything replayable, under faults.
//!
//! A failure is repeated by the seed that it prints: `E2E_SEED=… cargo nextest run -p e2e --test chaos`. The long
//! forms, which are ignored here, run with `make soak`.

use std::time::Duration;

use e2e::System;
use e2e::chaos::Chaos;
use e2e::checks::everything_holds;
use e2e::system::Setup;
use serde_json::json;
use testkit::eventually;

/// How much is done.
struct Amount {
    n_users: usize,
    n_changes: usize,
    /// How long it may take until everything is worked off.
    patience: Duration,
}

const SHORT: Amount = Amount { n_users: 20, n_changes: 250, patience: Duration::from_mins(1) };

/// A rebuild while changes come, and then once more everything.
async fn holds_after_a_rebuild_during_traffic(system: &System, chaos: &mut Chaos, amount: &Amount) {
    let traffic = async {
        for _ in 0..amount.n_changes / 10 {
            chaos.change().await;
        }
    };
    let (rebuilt, ()) = tokio::join!(system.operate(&["rebuild", "users"]), traffic);
    everything_holds(system, amount.patience).await;
    assert!(rebuilt["generation"].as_u64() > Some(1), "{rebuilt}");
}

async fn crash(amount: &Amount) {
    let mut system = System::start_with(Setup { n_ingresses: 2, n_projectors: 2, ..Setup::default() }).await;
    let mut chaos = Chaos::begin(&system.authentik, amount.n_users).await;
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
    holds_after_a_rebuild_during_traffic(&system, &mut chaos, amount).await;
}

async fn convergence(amount: &Amount) {
    let mut system = System::start().await;
    let mut chaos = Chaos::begin(&system.authentik, amount.n_users).await;
    system.authentik.faults(json!({"drop_webhooks": 0.3, "duplicate_webhooks": 0.3})).await;
    for _ in 0..amount.n_changes / 2 {
        chaos.change().await;
    }
    system.kill_ingresses().await;
    for _ in 0..amount.n_changes / 2 {
        chaos.change().await;
    }
    eventually("authentik gives up", || async { (system.authentik.n_given_up().await > 0).then_some(()) })
        .await;
    system.restart_ingresses().await;
    system.authentik.faults(json!({"drop_webhooks": 0.0, "duplicate_webhooks": 0.0})).await;
    everything_holds(&system, amount.patience).await;
    holds_after_a_rebuild_during_traffic(&system, &mut chaos, amount).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_whenever_nothing_is_lost_and_nothing_is_there_twice() {
    crash(&SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn through_20_000_changes_nothing_is_lost_and_nothing_is_there_twice() {
    crash(&Amount { n_users: 2_000, n_changes: 20_000, patience: Duration::from_mins(20) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_authentik_drops_doubles_shuffles_and_hides_converges() {
    convergence(&SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn what_authentik_drops_doubles_shuffles_and_hides_in_10_000_changes_converges() {
    convergence(&Amount { n_users: 1_000, n_changes: 10_000, patience: Duration::from_mins(20) }).await;
}
