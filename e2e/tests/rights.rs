//! What each user of `nats/users.conf` may do is enough for its service, and no more than that.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::{ConnectOptions, Event};
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
use tokio::sync::mpsc;

/// What nobody but an administrator may do to a stream.
const ADMINISTRATION: [&str; 4] = ["UPDATE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN"];

/// The streams and the bucket that everything depends on.
const STREAMS: [&str; 4] =
    ["AUTHENTIK_INBOX", "AUTHENTIK_EVENTS", "AUTHENTIK_DEAD_LETTERS", "KV_authentik_meta"];

/// What no service but the projector may publish to.
const WRITES: [&str; 5] = [
    "authentik.events.user.1.user-deleted",
    "authentik.dead-letters.x",
    "$KV.authentik_meta.brake",
    "$KV.authentik_users_1.1",
    "$JS.ACK.AUTHENTIK_INBOX.projector.1.1.1.1.1",
];

/// What no service may subscribe to: the streams' subjects, and what others are answered.
const LISTENING: [&str; 7] = [
    ">",
    "authentik.>",
    "authentik.inbox.>",
    "authentik.events.>",
    "$KV.>",
    "_INBOX.>",
    "_INBOX.admin.>",
];

/// What a user tries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Attempt {
    Publish(String),
    Subscribe(String),
}

fn publish(subjects: &[&str]) -> Vec<Attempt> {
    subjects.iter().map(|subject| Attempt::Publish((*subject).to_owned())).collect()
}

fn subscribe(subjects: &[&str]) -> Vec<Attempt> {
    subjects.iter().map(|subject| Attempt::Subscribe((*subject).to_owned())).collect()
}

/// These requests about each of the streams.
fn ask_of_all(requests: &[&str]) -> Vec<Attempt> {
    let asked = requests.iter().flat_map(|request| {
        STREAMS.iter().map(move |stream| Attempt::Publish(format!("$JS.API.STREAM.{request}.{stream}")))
    });
    asked.collect()
}

/// Everything that a user must not be able to do.
fn forbidden(user: &str) -> Vec<Attempt> {
    let common = [ask_of_all(&ADMINISTRATION), subscribe(&LISTENING)].concat();
    let changes = ["CREATE", "DELETE", "PURGE", "MSG.DELETE"];
    let own = match user {
        "ingress" => [
            publish(&WRITES),
            ask_of_all(&changes),
            ask_of_all(&["MSG.GET"]),
            publish(&["authentik.command.rebuild", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.AUTHENTIK_EVENTS"]),
            publish(&["$JS.API.DIRECT.GET.AUTHENTIK_INBOX", "$JS.API.CONSUMER.CREATE.AUTHENTIK_INBOX.x"]),
            publish(&["$JS.API.CONSUMER.MSG.NEXT.AUTHENTIK_INBOX.projector"]),
            subscribe(&["_INBOX.api.>", "_INBOX.projector.>", "authentik.command.*"]),
        ],
        "api" => [
            publish(&WRITES),
            ask_of_all(&changes),
            publish(&["$JS.API.STREAM.MSG.GET.AUTHENTIK_INBOX", "$JS.API.STREAM.MSG.GET.AUTHENTIK_DEAD_LETTERS"]),
            publish(&["$JS.API.DIRECT.GET.AUTHENTIK_INBOX", "$JS.API.DIRECT.GET.AUTHENTIK_DEAD_LETTERS"]),
            publish(&["$JS.API.CONSUMER.CREATE.AUTHENTIK_INBOX.x", "$JS.API.CONSUMER.CREATE.AUTHENTIK_INBOX"]),
            publish(&[
                "$JS.API.CONSUMER.MSG.NEXT.AUTHENTIK_INBOX.projector",
                "$JS.API.CONSUMER.DURABLE.CREATE.AUTHENTIK_INBOX.x",
                "$JS.API.CONSUMER.DELETE.AUTHENTIK_INBOX.projector",
                "$JS.API.CONSUMER.DELETE.AUTHENTIK_EVENTS.user-table",
            ]),
            subscribe(&["_INBOX.ingress.>", "_INBOX.projector.>", "authentik.command.*"]),
        ],
        "projector" => [
            ask_of_all(&["DELETE"]),
            publish(&["$JS.API.STREAM.PURGE.AUTHENTIK_INBOX", "$JS.API.STREAM.PURGE.AUTHENTIK_EVENTS"]),
            publish(&["$JS.API.STREAM.PURGE.AUTHENTIK_DEAD_LETTERS"]),
            publish(&["$JS.API.STREAM.MSG.DELETE.KV_authentik_meta", "$JS.API.STREAM.MSG.DELETE.OTHER"]),
            publish(&["$JS.API.CONSUMER.DELETE.AUTHENTIK_EVENTS.user-table"]),
            publish(&["$JS.ACK.AUTHENTIK_EVENTS.user-table.1.1.1.1.1", "other.subject"]),
            subscribe(&["_INBOX.ingress.>", "_INBOX.api.>"]),
        ],
        "consumer" => [
            publish(&WRITES),
            ask_of_all(&changes),
            ask_of_all(&["MSG.GET"]),
            publish(&["authentik.inbox.x", "authentik.command.rebuild", "$JS.API.DIRECT.GET.AUTHENTIK_EVENTS"]),
            publish(&["$JS.API.CONSUMER.CREATE.AUTHENTIK_INBOX.user-table.x"]),
            publish(&[
                "$JS.API.CONSUMER.CREATE.AUTHENTIK_EVENTS.another.authentik.events.>",
                "$JS.API.CONSUMER.DELETE.AUTHENTIK_EVENTS.another",
                "$JS.API.CONSUMER.MSG.NEXT.AUTHENTIK_EVENTS.another",
            ]),
            subscribe(&["_INBOX.ingress.>", "_INBOX.api.>", "_INBOX.projector.>"]),
        ],
        _ => panic!("no such user"),
    };
    own.into_iter().fold(common, |all, own| [all, own].concat())
}

/// Tries everything as this user. Returns what nats-server refused.
async fn refused(url: &str, user: &str, attempts: &[Attempt]) -> BTreeSet<Attempt> {
    let (sender, mut errors) = mpsc::unbounded_channel();
    let options = ConnectOptions::with_user_and_password(user.to_owned(), testkit::nats::password(user));
    let options = options.event_callback(move |event| {
        let sender = sender.clone();
        async move {
            if let Event::ServerError(error) = event {
                sender.send(error.to_string()).unwrap();
            }
        }
    });
    let client = options.connect(url).await.unwrap();
    let mut refused = BTreeSet::new();
    for attempt in attempts {
        // What is refused is told before this is, which all may not do.
        let end = Attempt::Publish("end.of.the.attempt".to_owned());
        let subscription = match attempt {
            Attempt::Publish(subject) => {
                client.publish(subject.clone(), "{}".into()).await.unwrap();
                None
            }
            Attempt::Subscribe(subject) => Some(client.subscribe(subject.clone()).await.unwrap()),
        };
        client.publish("end.of.the.attempt", "".into()).await.unwrap();
        loop {
            let error = tokio::time::timeout(DEADLINE, errors.recv()).await.unwrap().unwrap();
            if is_about(&error, &end) {
                break;
            }
            assert!(is_about(&error, attempt), "{user}: {attempt:?}: {error}");
            refused.insert(attempt.clone());
        }
        drop(subscription);
    }
    refused
}

fn is_about(error: &str, attempt: &Attempt) -> bool {
    let expected = match attempt {
        Attempt::Publish(subject) => format!("Permissions Violation for Publish to \"{subject}\""),
        Attempt::Subscribe(subject) => format!("Permissions Violation for Subscription to \"{subject}\""),
    };
    error.contains(&expected)
}

/// What the streams hold.
async fn held(nats: &Nats) -> Vec<(String, u64, u64)> {
    let streams: Vec<_> = nats.connect().await.jetstream.streams().try_collect().await.unwrap();
    let held = streams.into_iter().map(|stream| {
        (stream.config.name, stream.state.messages, stream.state.last_sequence)
    });
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
    for path in ["/api/me", "/api/users/1/events", "/api/status", "/api/operations", "/api/dead-letters"] {
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
    service.logged("the table is as of event").await;
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
        text.contains("NATS refuses the NATS_USER ingress").then_some(())
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
    ingress.logged("NATS refuses the NATS_USER consumer a right").await;
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
