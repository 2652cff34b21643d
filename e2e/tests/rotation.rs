//! Each secret can be replaced while everything runs, as `docs/operations.md` describes, without refusing a webhook.

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

/// Two ingresses and two projectors behind a load balancer, so that one can restart at a time.
async fn two_of_each() -> System {
    let setup = Setup { n_ingresses: 2, n_projectors: 2, spread: Spread::Failover, ..Setup::default() };
    System::start_with(setup).await
}

/// Creates a user and waits until its webhook is delivered.
async fn create_user(system: &System, username: &str) {
    system.authentik.create_user(username).await;
    system.authentik.finish_deliveries().await;
}

/// Creates a user in an authentik that was just restarted.
async fn insist_on_user(system: &System, username: &str) {
    let user = json!({"username": username, "name": username});
    system.authentik.request_until_answered(Method::POST, "/api/v3/core/users/", &user).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_secret_is_replaced_and_no_webhook_is_refused() {
    let mut system = two_of_each().await;
    create_user(&system, "before").await;
    for ingress in 0..2 {
        system.restart_ingress_with(ingress, &[("WEBHOOK_SECRETS", &format!("{OLD},{NEW}"))]).await;
        create_user(&system, &format!("both-secrets-{ingress}")).await;
    }
    system.restart_authentik_with(&[("SIMULATOR_WEBHOOK_SECRET", NEW)]).await;
    eventually("authentik is back", || async {
        let url = format!("{}/-/health/live/", system.authentik.url());
        reqwest::get(url).await.ok().map(drop)
    })
    .await;
    create_user(&system, "new-secret").await;
    for ingress in 0..2 {
        system.restart_ingress_with(ingress, &[("WEBHOOK_SECRETS", NEW)]).await;
        create_user(&system, &format!("new-secret-only-{ingress}")).await;
    }
    assert_eq!(system.webhooks.refusal_statuses(), BTreeSet::new());
    everything_holds(&system, DEADLINE).await;

    // The old secret no longer works.
    system.restart_authentik_with(&[("SIMULATOR_WEBHOOK_SECRET", OLD)]).await;
    insist_on_user(&system, "late").await;
    eventually("webhooks with the old secret are refused", || async {
        system.webhooks.refusal_statuses().contains(&401).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authentiks_token_is_replaced_and_the_circuit_breaker_stays_closed() {
    let mut system = two_of_each().await;
    create_user(&system, "before").await;
    // authentik accepts both tokens during the change. The administrator's token is the new one here.
    for projector in 0..2 {
        system.restart_projector_with(projector, &[("AUTHENTIK_TOKEN", ADMIN_TOKEN)]).await;
        create_user(&system, &format!("meanwhile-{projector}")).await;
    }
    system.restart_authentik_with(&[("SIMULATOR_API_TOKEN", "another-token")]).await;
    insist_on_user(&system, "after").await;
    converged(&system, DEADLINE).await;
    let logs = system.logs_and_metrics().await;
    assert!(!logs.contains("refuses the token"), "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_password_is_replaced_with_a_second_user_and_no_webhook_is_refused() {
    let mut system = two_of_each().await;
    create_user(&system, "before").await;
    let users = testkit::nats::shipped("users.conf");
    let line = "{ user: ingress, password: $NATS_INGRESS_PASSWORD, permissions: $INGRESS_RIGHTS }";
    let second = line
        .replace("user: ingress", "user: ingress-2")
        .replace("$NATS_INGRESS_PASSWORD", "\"new-nats-password\"");
    let nats = system.nats.as_server();
    nats.configure("users.conf", &users.replace(line, &format!("{line}\n    {second}")));
    nats.reload().await;
    create_user(&system, "both-users").await;
    for ingress in 0..2 {
        let variables = [("NATS_USER", "ingress-2"), ("NATS_PASSWORD", "new-nats-password")];
        system.restart_ingress_with(ingress, &variables).await;
        create_user(&system, &format!("meanwhile-{ingress}")).await;
    }
    let nats = system.nats.as_server();
    nats.configure("users.conf", &users.replace(line, &second));
    nats.reload().await;
    create_user(&system, "after").await;
    assert_eq!(system.webhooks.refusal_statuses(), BTreeSet::new());
    everything_holds(&system, DEADLINE).await;
}
