//! Connections to NATS over TLS, with certificates on both sides, and with credentials files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use e2e::System;
use e2e::nats::Nats;
use e2e::process::Process;
use e2e::system::Setup;
use serde_json::json;
use tempfile::TempDir;
use testkit::eventually;

async fn a_webhook_reaches_the_feed(nats: Nats) {
    let system = System::start_on(nats, Setup::default()).await;
    let pk = system.authentik.create_user("mary").await;
    let mut feed = system.feed().await;
    feed.read_until("they are registered", |received| {
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

/// An ingress with these variables instead of those that the server wants.
struct Ingress {
    process: Process,
    url: String,
    _directory: TempDir,
}

impl Ingress {
    fn start(nats: &Nats, change: impl Fn(&mut Vec<(&'static str, String)>)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = testkit::free_port();
        let mut environment = nats.environment("ingress");
        environment.push(("INGRESS_LISTEN", format!("127.0.0.1:{port}")));
        environment.push(("WEBHOOK_ALLOW_UNSIGNED", "true".to_owned()));
        change(&mut environment);
        let process = Process::start("ingress", directory.path(), environment);
        Self { process, url: format!("http://127.0.0.1:{port}"), _directory: directory }
    }

    /// Waits until readiness says this of the connection.
    async fn says(&self, text: &str) {
        eventually(&format!("readiness says {text:?}: {}", self.process.log()), || async {
            let answer = reqwest::get(format!("{}/readyz", self.url)).await.ok()?;
            let failures: serde_json::Value = answer.json().await.ok()?;
            failures["nats"].as_str()?.contains(text).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_for_which_nobody_vouches_is_not_trusted() {
    let nats = Nats::with_certificates().await;
    let without = |name: &'static str| {
        move |environment: &mut Vec<(&'static str, String)>| environment.retain(|(known, _)| *known != name)
    };
    Ingress::start(&nats, without("NATS_CA_FILE")).says("NATS_CA_FILE").await;
    let other = e2e::security::Certificates::new();
    let swapped = Ingress::start(&nats, |environment| {
        environment.push(("NATS_CA_FILE", other.file("ca").display().to_string()));
    });
    swapped.says("NATS_CA_FILE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_ca_file_nothing_is_said_in_clear() {
    // A server that does not talk TLS, perhaps because somebody stands between.
    let nats = Nats::server().await;
    let certificates = e2e::security::Certificates::new();
    let ingress = Ingress::start(&nats, |environment| {
        environment.push(("NATS_CA_FILE", certificates.file("ca").display().to_string()));
    });
    ingress.says("not connected").await;
    assert!(!ingress.process.log().contains("connected to NATS\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_stops_the_start_and_is_named() {
    let nats = Nats::server().await;
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    for (variable, path, said) in [
        ("NATS_CA_FILE", "/nowhere/ca.pem", "NATS_CA_FILE: reading /nowhere/ca.pem"),
        ("NATS_CA_FILE", empty.to_str().unwrap(), "contains no PEM certificate"),
        ("NATS_CREDENTIALS_FILE", "/nowhere/x.creds", "NATS_CREDENTIALS_FILE: reading /nowhere/x.creds"),
        ("NATS_CREDENTIALS_FILE", empty.to_str().unwrap(), "NATS_CREDENTIALS_FILE: not a credentials file"),
    ] {
        let mut ingress = Ingress::start(&nats, |environment| {
            environment.retain(|(name, _)| !matches!(*name, "NATS_USER" | "NATS_PASSWORD"));
            environment.push((variable, path.to_owned()));
        });
        let status = ingress.process.ended(testkit::wait::DEADLINE).await;
        assert!(!status.success() && ingress.process.log().contains(said), "{}", ingress.process.log());
    }
}
