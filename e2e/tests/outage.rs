//! nats-server hangs, shorter and longer than a connection lasts: everything goes on afterwards, by itself.

use e2e::System;
use e2e::checks::converged;
use testkit::eventually;
use testkit::nats::inbox_is_drained;
use testkit::wait::DEADLINE;

/// Every process says that it has no NATS.
async fn all_say(system: &System, said: &str) {
    let urls = system.ingress_urls.iter().chain(&system.projector_urls).chain([&system.api_url]);
    for url in urls {
        eventually(&format!("{url} says {said:?}"), || async {
            let answer = reqwest::get(format!("{url}/readyz")).await.ok()?.text().await.ok()?;
            answer.contains(said).then_some(())
        })
        .await;
    }
}

async fn everything_goes_on(system: &System, username: &str) {
    system.nats.as_server().resume().await;
    all_say(system, "ready\n").await;
    let pk = system.authentik.create_user(username).await;
    converged(system, DEADLINE).await;
    let mut feed = system.feed().await;
    feed.read_until("the feed has the newest user", |received| {
        received.iter().any(|received| received.data["subject"] == format!("user/{pk}"))
    })
    .await;
    inbox_is_drained(&system.nats.connect().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_nats_hung_for_a_while_everything_goes_on() {
    let system = System::start().await;
    system.nats.as_server().pause().await;
    system.authentik.create_user("while-it-hangs").await;
    eventually("a webhook is refused", || async {
        let metrics = reqwest::get(format!("{}/metrics", system.ingress_urls[0])).await.ok()?;
        metrics.text().await.ok()?.contains("outcome=\"unavailable\"").then_some(())
    })
    .await;
    everything_goes_on(&system, "after-it-hung").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_nats_hung_until_all_connections_were_lost_everything_goes_on() {
    let system = System::start().await;
    system.nats.as_server().pause().await;
    system.authentik.create_user("while-it-hangs").await;
    all_say(&system, "not connected").await;
    everything_goes_on(&system, "after-it-hung").await;
}
