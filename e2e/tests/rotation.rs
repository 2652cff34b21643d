//! Secrets are replaced while everything runs, as `docs/operations.md` says, and nothing is refused meanwhile.

use std::collections::BTreeSet;

use e2e::System;
use e2e::checks::{converged, everything_holds};
use e2e::settings::{ADMIN_TOKEN, WEBHOOK_SECRET as OLD};
use e2e::system::Setup;
use e2e::webhooks::Spread;
use reqwest::Method;
use serde_json::json;
use testkit::eventually;
use testkit::wait::DEADLINE;

const NEW: &str = "whsec_bmV3LXdlYmhvb2stc2VjcmV0LTk4NzY1NDMyMTBhYmM=";

/// Two of each behind a load balancer, so that one can be restarted at a time.
async fn two_of_each() -> System {
    let setup = Setup { n_ingresses: 2, n_projectors: 2, spread: Spread::Failover, ..Setup::default() };
    System::start_with(setup).await
}

/// Something happens in authentik, and is told.
async fn told(system: &System, username: &str) {
    system.authentik.create_user(username).await;
    system.authentik.finish_deliveries().await;
}

/// Makes a user in an authentik that was just restarted.
async fn made(system: &System, username: &str) {
    let user = json!({"username": username, "name": username});
    system.authentik.request_until_answered(Method::POST, "/api/v3/core/users/", &user).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_secret_is_replaced_and_no_webhook_is_refused() {
    let mut system = two_of_each().await;
    told(&system, "before").await;
    for ingress in 0..2 {
        system.restart_ingress_with(ingress, &[("WEBHOOK_SECRETS", &format!("{OLD},{NEW}"))]).await;
        told(&system, &format!("taking-both-{ingress}")).await;
    }
    system.restart_authentik_with(&[("SIMULATOR_WEBHOOK_SECRET", NEW)]).await;
    eventually("authentik is back", || async {
        let url = format!("{}/-/health/live/", system.authentik.url());
        reqwest::get(url).await.ok().map(drop)
    })
    .await;
    told(&system, "signed-anew").await;
    for ingress in 0..2 {
        system.restart_ingress_with(ingress, &[("WEBHOOK_SECRETS", NEW)]).await;
        told(&system, &format!("taking-the-new-one-{ingress}")).await;
    }
    assert_eq!(system.webhooks.refusal_statuses(), BTreeSet::new());
    everything_holds(&system, DEADLINE).await;

    // The old one is of no more use.
    system.restart_authentik_with(&[("SIMULATOR_WEBHOOK_SECRET", OLD)]).await;
    made(&system, "late").await;
    eventually("webhooks of the old secret are refused", || async {
        system.webhooks.refusal_statuses().contains(&401).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authentiks_token_is_replaced_and_the_circuit_stays_closed() {
    let mut system = two_of_each().await;
    told(&system, "before").await;
    // authentik takes both while they are exchanged: here the administrator's is the new one.
    for projector in 0..2 {
        system.restart_projector_with(projector, &[("AUTHENTIK_TOKEN", ADMIN_TOKEN)]).await;
        told(&system, &format!("meanwhile-{projector}")).await;
    }
    system.restart_authentik_with(&[("SIMULATOR_API_TOKEN", "another-token")]).await;
    made(&system, "after").await;
    converged(&system, DEADLINE).await;
    let told = system.logs_and_metrics().await;
    assert!(!told.contains("refuses the token"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_of_nats_is_replaced_by_that_of_a_second_user_and_no_webhook_is_refused() {
    let mut system = two_of_each().await;
    told(&system, "before").await;
    let users = testkit::nats::shipped("users.conf");
    let line = "{ user: ingress, password: $NATS_INGRESS_PASSWORD, permissions: $INGRESS_RIGHTS }";
    let second = line
        .replace("user: ingress", "user: ingress-2")
        .replace("$NATS_INGRESS_PASSWORD", "\"new-nats-password\"");
    let nats = system.nats.as_server();
    nats.configure("users.conf", &users.replace(line, &format!("{line}\n    {second}")));
    nats.reload().await;
    told(&system, "with-both").await;
    for ingress in 0..2 {
        let variables = [("NATS_USER", "ingress-2"), ("NATS_PASSWORD", "new-nats-password")];
        system.restart_ingress_with(ingress, &variables).await;
        told(&system, &format!("meanwhile-{ingress}")).await;
    }
    let nats = system.nats.as_server();
    nats.configure("users.conf", &users.replace(line, &second));
    nats.reload().await;
    told(&system, "after").await;
    assert_eq!(system.webhooks.refusal_statuses(), BTreeSet::new());
    everything_holds(&system, DEADLINE).await;
}
