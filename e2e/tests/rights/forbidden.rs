//! Requests that the permissions must forbid, and how to try them.

use std::collections::BTreeSet;

use async_nats::{ConnectOptions, Event};
use testkit::wait::DEADLINE;
use tokio::sync::mpsc;

/// Requests about a stream that only an administrator may send.
const ADMINISTRATION: [&str; 4] = ["UPDATE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN"];

/// The streams, and the stream of the meta bucket.
const STREAMS: [&str; 4] =
    ["AUTHENTIK_INBOX", "AUTHENTIK_EVENTS", "AUTHENTIK_DEAD_LETTERS", "KV_authentik_meta"];

/// Subjects that only the projector may publish to.
const WRITES: [&str; 5] = [
    "authentik.events.user.1.user-deleted",
    "authentik.dead-letters.x",
    "$KV.authentik_meta.brake",
    "$KV.authentik_users_1.1",
    "$JS.ACK.AUTHENTIK_INBOX.projector.1.1.1.1.1",
];

/// Subjects that no service may subscribe to: those of the streams, and replies to other services.
const LISTENING: [&str; 7] =
    [">", "authentik.>", "authentik.inbox.>", "authentik.events.>", "$KV.>", "_INBOX.>", "_INBOX.admin.>"];

/// Something that a user tries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attempt {
    Publish(String),
    Subscribe(String),
}

fn publish(subjects: &[&str]) -> Vec<Attempt> {
    subjects.iter().map(|subject| Attempt::Publish((*subject).to_owned())).collect()
}

fn subscribe(subjects: &[&str]) -> Vec<Attempt> {
    subjects.iter().map(|subject| Attempt::Subscribe((*subject).to_owned())).collect()
}

/// Requests that change a stream.
const CHANGES: [&str; 4] = ["CREATE", "DELETE", "PURGE", "MSG.DELETE"];

/// These requests about each of the streams.
fn request_about_each_stream(requests: &[&str]) -> Vec<Attempt> {
    let attempts = requests.iter().flat_map(|request| {
        STREAMS.iter().map(move |stream| Attempt::Publish(format!("$JS.API.STREAM.{request}.{stream}")))
    });
    attempts.collect()
}

/// Everything that this user must not be able to do.
pub fn forbidden(user: &str) -> Vec<Attempt> {
    let own = match user {
        "ingress" => forbidden_to_ingress(),
        "api" => forbidden_to_api(),
        "projector" => forbidden_to_projector(),
        "consumer" => forbidden_to_consumer(),
        _ => panic!("unknown user {user}"),
    };
    [request_about_each_stream(&ADMINISTRATION), subscribe(&LISTENING), own].concat()
}

fn forbidden_to_ingress() -> Vec<Attempt> {
    [
        publish(&WRITES),
        request_about_each_stream(&CHANGES),
        request_about_each_stream(&["MSG.GET"]),
        publish(&[
            "authentik.command.rebuild",
            "$JS.API.STREAM.NAMES",
            "$JS.API.STREAM.INFO.AUTHENTIK_EVENTS",
        ]),
        publish(&[
            "$JS.API.DIRECT.GET.AUTHENTIK_INBOX",
            "$JS.API.CONSUMER.CREATE.AUTHENTIK_INBOX.x",
            "$JS.API.CONSUMER.MSG.NEXT.AUTHENTIK_INBOX.projector",
        ]),
        subscribe(&["_INBOX.api.>", "_INBOX.projector.>", "authentik.command.*"]),
    ]
    .concat()
}

fn forbidden_to_api() -> Vec<Attempt> {
    [
        publish(&WRITES),
        request_about_each_stream(&CHANGES),
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
    ]
    .concat()
}

fn forbidden_to_projector() -> Vec<Attempt> {
    [
        request_about_each_stream(&["DELETE"]),
        publish(&["$JS.API.STREAM.PURGE.AUTHENTIK_INBOX", "$JS.API.STREAM.PURGE.AUTHENTIK_EVENTS"]),
        publish(&["$JS.API.STREAM.PURGE.AUTHENTIK_DEAD_LETTERS"]),
        publish(&["$JS.API.STREAM.MSG.DELETE.KV_authentik_meta", "$JS.API.STREAM.MSG.DELETE.OTHER"]),
        publish(&["$JS.API.CONSUMER.DELETE.AUTHENTIK_EVENTS.user-table"]),
        publish(&["$JS.ACK.AUTHENTIK_EVENTS.user-table.1.1.1.1.1", "other.subject"]),
        subscribe(&["_INBOX.ingress.>", "_INBOX.api.>"]),
    ]
    .concat()
}

fn forbidden_to_consumer() -> Vec<Attempt> {
    [
        publish(&WRITES),
        request_about_each_stream(&CHANGES),
        request_about_each_stream(&["MSG.GET"]),
        publish(&["authentik.inbox.x", "authentik.command.rebuild", "$JS.API.DIRECT.GET.AUTHENTIK_EVENTS"]),
        publish(&["$JS.API.CONSUMER.CREATE.AUTHENTIK_INBOX.user-table.x"]),
        publish(&[
            "$JS.API.CONSUMER.CREATE.AUTHENTIK_EVENTS.another.authentik.events.>",
            "$JS.API.CONSUMER.DELETE.AUTHENTIK_EVENTS.another",
            "$JS.API.CONSUMER.MSG.NEXT.AUTHENTIK_EVENTS.another",
        ]),
        subscribe(&["_INBOX.ingress.>", "_INBOX.api.>", "_INBOX.projector.>"]),
    ]
    .concat()
}

/// Tries everything as this user. Returns the attempts that nats-server refused.
pub async fn refused(url: &str, user: &str, attempts: &[Attempt]) -> BTreeSet<Attempt> {
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
        // No user may publish this. Its refusal comes after the refusal of the attempt, if there is one.
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
