//! After nats-server hung, for less or more time than a connection survives, everything continues by itself.

use e2e::System;
use e2e::checks::converged;
use testkit::eventually;
use testkit::nats::inbox_is_drained;
use testkit::wait::DEADLINE;

/// Waits until `/readyz` of every process contains this text.
async fn all_report(system: &System, text: &str) {
    let urls = system.ingress_urls.iter().chain(&system.projector_urls).chain([&system.api_url]);
    for url in urls {
        eventually(&format!("{url} reports {text:?}"), || async {
            let answer = reqwest::get(format!("{url}/readyz")).await.ok()?.text().await.ok()?;
            answer.contains(text).then_some(())
        })
        .await;
    }
}

async fn resume_and_check(system: &System, username: &str) {
    system.nats.as_server().resume().await;
    all_report(system, "ready\n").await;
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
async fn everything_continues_after_nats_hung_briefly() {
    let system = System::start().await;
    system.nats.as_server().pause().await;
    system.authentik.create_user("while-it-hangs").await;
    eventually("a webhook is refused", || async {
        let metrics = reqwest::get(format!("{}/metrics", system.ingress_urls[0])).await.ok()?;
        metrics.text().await.ok()?.contains("outcome=\"unavailable\"").then_some(())
    })
    .await;
    resume_and_check(&system, "after-it-hung").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_continues_after_nats_hung_until_all_connections_were_lost() {
    let system = System::start().await;
    system.nats.as_server().pause().await;
    system.authentik.create_user("while-it-hangs").await;
    all_report(&system, "not connected").await;
    resume_and_check(&system, "after-it-hung").await;
}
