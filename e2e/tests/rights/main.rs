//! The permissions of each user in `nats/users.conf` are sufficient for its service and grant nothing else.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod forbidden;

use std::time::Duration;

use async_nats::ConnectOptions;
use e2e::System;
use e2e::checks::{PROJECTIONS, everything_holds};
use e2e::dead_letters::set_aside;
use e2e::ingress::Ingress;
use e2e::nats::Nats;
use e2e::process::Process;
use e2e::system::Setup;
use futures_util::TryStreamExt;
use reqwest::Method;
use testkit::wait::DEADLINE;
use testkit::{NatsServer, eventually};

use crate::forbidden::{Attempt, forbidden, refused};

/// Name, number of messages and last sequence of each stream.
async fn stream_contents(nats: &Nats) -> Vec<(String, u64, u64)> {
    let streams: Vec<_> = nats.connect().await.jetstream.streams().try_collect().await.unwrap();
    let contents = streams
        .into_iter()
        .map(|stream| (stream.config.name, stream.state.messages, stream.state.last_sequence));
    contents.filter(|(name, ..)| name != "KV_authentik_meta").collect()
}

/// Exercises everything that services and operators do.
async fn do_everything(system: &mut System) {
    let authentik = &system.authentik;
    let group = authentik.create_group("engineers").await;
    let pk = authentik.create_user("mary").await;
    authentik.add_to_group(&group, pk).await;
    authentik.sign_in(pk).await;
    let gone = authentik.create_user("joan").await;
    let mut feed = system.feed().await;
    feed.read_until("the sign-in", |received| {
        received.iter().any(|received| received.event == "user-logged-in")
    })
    .await;
    let events = format!("/api/users/{pk}/events");
    for path in ["/api/me", events.as_str(), "/api/status", "/api/operations", "/api/dead-letters"] {
        eventually(path, || async { (system.get(path, "akadmin").await.0 == 200).then_some(()) }).await;
    }
    let token = system.authentik.token("akadmin").await;
    set_aside(system, "a").await;
    set_aside(system, "b").await;
    set_aside(system, "c").await;
    for (method, path, status) in [
        (Method::POST, "/api/me/resync", 202),
        (Method::POST, "/api/projections/users/rebuild", 202),
        (Method::POST, "/api/dead-letters/a/replay", 200),
        (Method::DELETE, "/api/dead-letters/b", 204),
    ] {
        let answer = system.call(method, path, Some(&token)).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
    system.authentik.delete_user(gone).await;
    feed.read_until("the deletion", |received| {
        received.iter().any(|received| received.event == "user-deleted")
    })
    .await;
    system.operate(&["dead-letters", "list"]).await;
    system.operate(&["dead-letters", "show", "c"]).await;
    system.operate(&["dead-letters", "replay", "--all"]).await;
    system.operate(&["catch-up", "--since", "1d"]).await;
    system.operate(&["forget", &gone.to_string()]).await;
    system.kill_projectors().await;
    system.restart_projectors().await;
    everything_holds(system, DEADLINE).await;
    for projection in PROJECTIONS {
        system.operate(&["verify", projection]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_shipped_permissions_each_service_works_and_forbidden_requests_are_refused() {
    let nats = Nats::on(NatsServer::shipped().await);
    let mut system = System::start_on(nats, Setup { n_projectors: 2, ..Setup::default() }).await;
    let directory = tempfile::tempdir().unwrap();
    let service = Process::start("user-table", directory.path(), system.nats.environment("consumer"));
    do_everything(&mut system).await;
    service.logged("the table contains the events up to").await;
    let log = system.nats.as_server().log();
    let refusals: Vec<_> = log.lines().filter(|line| line.contains("Violation")).collect();
    assert_eq!(refusals, Vec::<&str>::new());
    drop(service);
    system.terminate().await;

    let before = stream_contents(&system.nats).await;
    for user in ["ingress", "projector", "api", "consumer"] {
        let attempts = forbidden(user);
        let refused = refused(&system.nats.url(), user, &attempts).await;
        let allowed: Vec<_> = attempts.iter().filter(|attempt| !refused.contains(attempt)).collect();
        assert_eq!(allowed, Vec::<&Attempt>::new(), "{user}");
    }
    assert_eq!(stream_contents(&system.nats).await, before, "refused requests must change nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_wrong_password_is_refused_and_reported() {
    let nats = Nats::on(NatsServer::shipped().await);
    let anonymous = ConnectOptions::new().connect(nats.url()).await.unwrap_err();
    assert!(anonymous.to_string().contains("authorization violation"), "{anonymous}");

    let ingress = Ingress::start(&nats, "ingress", |environment| {
        environment.push(("NATS_PASSWORD", "wrong".to_owned()));
    });
    ingress.reports_nats_failure("NATS refuses NATS_USER ingress").await;
    assert!(!ingress.process.log().contains("wrong"), "a password must not be logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named_in_the_log_of_the_service_that_lacks_it() {
    // An operator mixed up the passwords of two services.
    let nats = Nats::on(NatsServer::shipped().await);
    nats.connect().await;
    testkit::nats::provisioned(&nats.connect().await, 1).await;
    let ingress = Ingress::start(&nats, "consumer", |_| {});
    ingress.process.logged("NATS denies NATS_USER consumer a permission").await;
    ingress.process.logged("$JS.API.STREAM.INFO.AUTHENTIK_INBOX").await;
    let ready = reqwest::get(format!("{}/readyz", ingress.url)).await.unwrap();
    assert_eq!(ready.status().as_u16(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_server_does_not_start_without_the_passwords() {
    let directory = tempfile::tempdir().unwrap();
    let check = tokio::process::Command::new(testkit::nats::binary())
        .args(["-t", "--config", "../nats/nats-server.conf"])
        .env("NATS_STORE_DIR", directory.path())
        .output();
    let output = tokio::time::timeout(Duration::from_secs(20), check).await.unwrap().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("NATS_INGRESS_PASSWORD"), "{stderr}");
}
