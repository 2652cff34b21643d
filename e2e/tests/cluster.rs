//! Three nodes, of which one at a time dies: nothing lost, nothing twice, and nobody waits for an operator.
//!
//! A failure is repeated by the seed that it prints: `E2E_SEED=… cargo nextest run -p e2e --test cluster`.

use std::time::Duration;

use e2e::System;
use e2e::chaos::Chaos;
use e2e::checks::everything_holds;
use e2e::nats::Nats;
use e2e::system::Setup;
use testkit::cluster::N_NODES;

/// One node after the other dies while changes come, `n_changes` for each of `n_deaths`; the next one only when the
/// last one is current again.
async fn survive(n_deaths: usize, n_changes: usize, patience: Duration) {
    let setup = Setup { n_ingresses: 2, n_projectors: 2, ..Setup::default() };
    let mut system = System::start_on(Nats::cluster().await, setup).await;
    let mut chaos = Chaos::begin(&system.authentik, 15).await;
    for death in 0..n_deaths {
        let node = if death < N_NODES { death } else { chaos.pick(N_NODES) };
        system.nats.as_cluster().kill(node).await;
        for _ in 0..n_changes / 2 {
            chaos.change().await;
        }
        system.nats.as_cluster().restart(node).await;
        for _ in 0..n_changes / 2 {
            chaos.change().await;
        }
        system.nats.as_cluster().current(node).await;
    }
    system.ready().await;
    everything_holds(&system, patience).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_node_dies_nothing_is_lost_and_nothing_is_there_twice() {
    survive(4, 40, Duration::from_mins(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn however_often_nodes_die_nothing_is_lost_and_nothing_is_there_twice() {
    survive(60, 150, Duration::from_mins(20)).await;
}
