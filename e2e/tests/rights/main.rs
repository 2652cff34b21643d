//! What each user of `nats/users.conf` may do is enough for its service, and no more than that.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod forbidden;

use std::time::Duration;

use async_nats::ConnectOptions;
use e2e::System;
use e2e::checks::{PROJECTIONS, everything_holds};
use e2e::dead_letters::set_aside;
use e2e::nats::Nats;
use e2e::process::Process;
use e2e::system::Setup;
use futures_util::TryStreamExt;
use reqwest::Method;
use testkit::wait::DEADLINE;
use testkit::{NatsServer, eventually};

use crate::forbidden::{Attempt, forbidden, refused};

/// What the streams hold.
async fn held(nats: &Nats) -> Vec<(String, u64, u64)> {
    let streams: Vec<_> = nats.connect().await.jetstream.streams().try_collect().await.unwrap();
    let held = streams
        .into_iter()
        .map(|stream| (stream.config.name, stream.state.messages, stream.state.last_sequence));
    held.filter(|(name, ..)| name != "KV_authentik_meta").collect()
}

/// All that services and operators do, once.
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
        eventually(path, || async { (system.ask(path, "akadmin").await.0 == 200).then_some(()) }).await;
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
async fn on_the_shipped_configuration_each_service_can_do_its_work_and_no_user_what_is_not_theirs() {
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

    let before = held(&system.nats).await;
    for user in ["ingress", "projector", "api", "consumer"] {
        let attempts = forbidden(user);
        let refused = refused(&system.nats.url(), user, &attempts).await;
        let allowed: Vec<_> = attempts.iter().filter(|attempt| !refused.contains(attempt)).collect();
        assert_eq!(allowed, Vec::<&Attempt>::new(), "{user}");
    }
    assert_eq!(held(&system.nats).await, before, "what was refused left no trace");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_password_or_a_wrong_one_is_not_let_in_and_told_so() {
    let nats = Nats::on(NatsServer::shipped().await);
    let anonymous = ConnectOptions::new().connect(nats.url()).await.unwrap_err();
    assert!(anonymous.to_string().contains("authorization violation"), "{anonymous}");

    let directory = tempfile::tempdir().unwrap();
    let port = testkit::free_port();
    let mut environment = nats.environment("ingress");
    environment.extend([
        ("INGRESS_LISTEN", format!("127.0.0.1:{port}")),
        ("WEBHOOK_ALLOW_UNSIGNED", "true".to_owned()),
        ("NATS_PASSWORD", "wrong".to_owned()),
    ]);
    let ingress = Process::start("ingress", directory.path(), environment);
    eventually("readiness says who is refused", || async {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await.ok()?;
        let text = answer.text().await.ok()?;
        text.contains("NATS refuses NATS_USER ingress").then_some(())
    })
    .await;
    assert!(!ingress.log().contains("wrong"), "a password is never told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named_in_the_log_of_who_lacks_it() {
    // As when an operator confuses two passwords.
    let nats = Nats::on(NatsServer::shipped().await);
    nats.connect().await;
    testkit::nats::provisioned(&nats.connect().await, 1).await;
    let directory = tempfile::tempdir().unwrap();
    let port = testkit::free_port();
    let mut environment = nats.environment("consumer");
    environment.extend([
        ("INGRESS_LISTEN", format!("127.0.0.1:{port}")),
        ("WEBHOOK_ALLOW_UNSIGNED", "true".to_owned()),
    ]);
    let ingress = Process::start("ingress", directory.path(), environment);
    ingress.logged("NATS denies NATS_USER consumer a permission").await;
    ingress.logged("$JS.API.STREAM.INFO.AUTHENTIK_INBOX").await;
    let ready = reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await.unwrap();
    assert_eq!(ready.status().as_u16(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_server_does_not_start_without_the_passwords() {
    let directory = tempfile::tempdir().unwrap();
    let checked = tokio::process::Command::new(testkit::nats::binary())
        .args(["-t", "--config", "../nats/nats-server.conf"])
        .env("NATS_STORE_DIR", directory.path())
        .output();
    let checked = tokio::time::timeout(Duration::from_secs(20), checked).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(!checked.status.success() && said.contains("NATS_INGRESS_PASSWORD"), "{said}");
}
