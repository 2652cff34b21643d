//! A cluster of three nodes survives the death of one node at a time, without losses or duplicates.
//!
//! A failure prints its seed; repeat it with `E2E_SEED=… cargo nextest run -p e2e --test cluster`.

use std::time::Duration;

use e2e::System;
use e2e::chaos::Chaos;
use e2e::checks::everything_holds;
use e2e::nats::Nats;
use e2e::system::Setup;
use testkit::cluster::N_NODES;

/// Kills one node after another during changes, `n_changes` for each of `n_deaths`. The next node is killed
/// when the last one has caught up.
async fn check_node_deaths(n_deaths: usize, n_changes: usize, patience: Duration) {
    let setup = Setup { n_ingresses: 2, n_projectors: 2, ..Setup::default() };
    let mut system = System::start_on(Nats::cluster().await, setup).await;
    let mut chaos = Chaos::start(&system.authentik, 15).await;
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
async fn the_death_of_any_node_loses_and_duplicates_nothing() {
    check_node_deaths(4, 40, Duration::from_mins(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: make soak"]
async fn sixty_deaths_of_nodes_lose_and_duplicate_nothing() {
    check_node_deaths(60, 150, Duration::from_mins(20)).await;
}
