//! Connections to NATS over TLS with certificates on both sides, and with credentials files.

use e2e::System;
use e2e::ingress::Ingress;
use e2e::nats::Nats;
use e2e::security::Certificates;
use e2e::settings::Environment;
use e2e::system::Setup;
use serde_json::json;
use testkit::wait::DEADLINE;

async fn a_webhook_reaches_the_feed(nats: Nats) {
    let system = System::start_on(nats, Setup::default()).await;
    let pk = system.authentik.create_user("mary").await;
    let mut feed = system.feed().await;
    feed.read_until("the user is registered", |received| {
        received.iter().any(|received| received.data["subject"] == format!("user/{pk}").as_str())
    })
    .await;
    assert_eq!(system.operate(&["dead-letters", "list"]).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_over_tls_with_certificates_on_both_sides() {
    a_webhook_reaches_the_feed(Nats::with_certificates().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_with_credentials_files() {
    a_webhook_reaches_the_feed(Nats::with_credentials().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_has_an_unknown_issuer_is_not_trusted() {
    let nats = Nats::with_certificates().await;
    let without = |name: &'static str| {
        move |environment: &mut Environment| environment.retain(|(variable, _)| *variable != name)
    };
    let ingress = Ingress::start(&nats, "ingress", without("NATS_CA_FILE"));
    ingress.reports_nats_failure("NATS_CA_FILE").await;
    let other = Certificates::generate();
    let ingress = Ingress::start(&nats, "ingress", |environment| {
        environment.push(("NATS_CA_FILE", other.file("ca").display().to_string()));
    });
    ingress.reports_nats_failure("NATS_CA_FILE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_ca_file_nothing_is_sent_unencrypted() {
    // A server without TLS, as a man in the middle would present it.
    let nats = Nats::server().await;
    let certificates = Certificates::generate();
    let ingress = Ingress::start(&nats, "ingress", |environment| {
        environment.push(("NATS_CA_FILE", certificates.file("ca").display().to_string()));
    });
    ingress.reports_nats_failure("not connected").await;
    assert!(!ingress.process.log().contains("connected to NATS\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_file_stops_the_start_and_is_named() {
    let nats = Nats::server().await;
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    for (variable, path, error) in [
        ("NATS_CA_FILE", "/nowhere/ca.pem", "NATS_CA_FILE: reading /nowhere/ca.pem"),
        ("NATS_CA_FILE", empty.to_str().unwrap(), "contains no PEM certificate"),
        ("NATS_CREDENTIALS_FILE", "/nowhere/x.creds", "NATS_CREDENTIALS_FILE: reading /nowhere/x.creds"),
        ("NATS_CREDENTIALS_FILE", empty.to_str().unwrap(), "NATS_CREDENTIALS_FILE: not a credentials file"),
    ] {
        let mut ingress = Ingress::start(&nats, "ingress", |environment| {
            environment.retain(|(name, _)| !matches!(*name, "NATS_USER" | "NATS_PASSWORD"));
            environment.push((variable, path.to_owned()));
        });
        let status = ingress.process.ended(DEADLINE).await;
        assert!(!status.success() && ingress.process.log().contains(error), "{}", ingress.process.log());
    }
}
