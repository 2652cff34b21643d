//! Messages that nobody of us wrote: they harm nobody but themselves.

use async_nats::HeaderMap;
use bytes::Bytes;
use domain::view::users::Users;
use projector::dead_letters;
use projector::projections::{ProjectionName, Projections};
use runtime::nats::Nats;
use serde_json::json;
use store::log::EventLog;
use store::publish::{NewMessage, publish};
use store::views;
use testkit::nats::inbox_is_drained;
use testkit::{NatsServer, eventually};

use crate::support::{Authentik, Projector, hint};

/// The largest message that the server takes.
const MAX_PAYLOAD: usize = 1024 * 1024;

const GARBAGE: &str = "<html>";

async fn projections(projector: &Projector) -> Projections {
    let nats = projector.nats.clone();
    Projections { log: EventLog::open(&nats).await.unwrap(), nats, replicas: 1 }
}

/// Writes garbage into a bucket, or deletes what is there.
async fn put_value(nats: &Nats, bucket: &str, key: &str, operation: Option<&str>) {
    let mut headers = HeaderMap::new();
    if let Some(operation) = operation {
        headers.insert("KV-Operation", operation);
    }
    let payload = if operation.is_none() { GARBAGE.into() } else { Bytes::new() };
    let subject = format!("$KV.{bucket}.{key}");
    publish(nats, NewMessage { subject, headers, payload, expected: None }).await.unwrap();
}

impl Projector {
    /// Waits until the projection has everything, and is what its events give.
    async fn serves(&self, name: ProjectionName) {
        let projections = projections(self).await;
        let head = projections.log.head().await.unwrap();
        let verified = eventually("readers are served everything", || async {
            let verified = projections.verify(name, |_, _| {}).await.ok()?;
            (verified.sequence >= head).then_some(verified)
        })
        .await;
        assert!(verified.holds(), "{verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_inbox_becomes_dead_letters_and_hints_go_on() {
    let projector = Projector::start().await;
    let nested = ["{\"event_type\": \"model_updated\", \"pk\": ", &"[".repeat(100_000)].concat();
    let bodies: [(&str, Bytes); 7] = [
        ("empty", Bytes::new()),
        ("html", GARBAGE.into()),
        ("not-utf8", Bytes::from_static(&[0xff, 0xfe, 0x00, 0x7b])),
        ("brackets", "[".repeat(200_000).into()),
        ("nested", nested.into()),
        ("half", "{\"schema\": \"authentik.event.v1\", \"event\": {".into()),
        ("largest", Bytes::from(vec![b'x'; MAX_PAYLOAD])),
    ];
    for (id, body) in &bodies {
        projector.put(&format!("authentik.inbox.{id}"), body.clone()).await;
    }
    for subject in ["authentik.inbox.ä", "authentik.inbox.%24", "authentik.inbox.a.b.c"] {
        projector.put(subject, hint(3)).await;
    }
    for pk in 8..20 {
        projector.deliver(&format!("fine-{pk}"), &hint(pk)).await;
        projector.recorded(pk).await;
    }
    inbox_is_drained(&projector.nats).await;
    let letters = dead_letters::list(&projector.nats).await.unwrap();
    for (id, _) in &bodies {
        assert!(
            letters.iter().any(|letter| letter.id.as_str() == *id),
            "{id} is no dead letter: {letters:?}"
        );
    }
    projector.says("ready\n").await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_among_the_events_of_a_user_stops_this_user_alone() {
    let projector = Projector::start().await;
    projector.put("authentik.events.user.7.user-updated", GARBAGE).await;
    projector.put("authentik.events.user.8.user-updated", "{\"specversion\": \"1.0\"}").await;
    projector.put("authentik.events.user.9.user-updated", Bytes::from_static(&[0xff])).await;
    projector.put("authentik.events.user.nobody.user-updated", "").await;
    projector.put("authentik.events.nonsense", "[".repeat(200_000)).await;
    for pk in 7..12 {
        projector.deliver(&format!("about-{pk}"), &hint(pk)).await;
    }
    let group = json!({"event_type": "model_updated", "model_name": "group", "pk": "6f0f4f1e-0000-4000-8000-000000000001"});
    projector.deliver("group", &group.to_string()).await;
    inbox_is_drained(&projector.nats).await;
    let letters = dead_letters::list(&projector.nats).await.unwrap();
    let ids: Vec<_> = letters.iter().map(|letter| letter.id.as_str()).collect();
    assert_eq!(ids.iter().filter(|id| id.starts_with("about-")).count(), 3, "{letters:?}");
    for pk in 7..10 {
        let letter = letters.iter().find(|letter| letter.id.as_str() == format!("about-{pk}")).unwrap();
        assert!(letter.reason.contains("cannot be read"), "{letter:?}");
    }
    for name in ProjectionName::ALL {
        projector.serves(name).await;
    }
    let bucket = projector.nats.namespace.projection_bucket("users", 1);
    let served = views::load::<Users>(&projector.nats, &bucket).await.unwrap().views;
    assert_eq!(served.into_keys().collect::<Vec<_>>(), ["10", "11"]);
    projector.says("ready\n").await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_a_projection_is_named_and_gone_after_a_rebuild() {
    for key in ["1", "no-such.key", "_checkpoint"] {
        let projector = Projector::start().await;
        projector.deliver("before", &hint(1)).await;
        projector.recorded(1).await;
        projector.serves(ProjectionName::Users).await;
        let bucket = projector.nats.namespace.projection_bucket("users", 1);
        let server = projector.stop().await.unwrap();
        put_value(&server.connect().await, &bucket, key, None).await;

        let projector = Projector::start_on(server).await;
        projector.says("rebuild").await;
        projector.says(key).await;
        projector.deliver("after", &hint(2)).await;
        projector.recorded(2).await;
        projector.serves(ProjectionName::Activity).await;
        let shutdown = runtime::CancellationToken::new();
        let rebuilt =
            projections(&projector).await.rebuild(ProjectionName::Users, |_, _| {}, &shutdown).await;
        assert!(rebuilt.unwrap().is_some());
        projector.says("ready\n").await;
        projector.serves(ProjectionName::Users).await;
        projector.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_a_lease_expires_as_a_dead_holders_does() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    for key in ["lease.users", "lease.groups"] {
        put_value(&nats, &nats.namespace.meta_bucket(), key, None).await;
    }
    let projector = Projector::start_on(server).await;
    projector.deliver("hint", &hint(1)).await;
    projector.recorded(1).await;
    projector.serves(ProjectionName::Users).await;
    projector.serves(ProjectionName::Groups).await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_a_pointer_is_named_and_made_anew_once_it_is_deleted() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let meta = nats.namespace.meta_bucket();
    put_value(&nats, &meta, "projection.users", None).await;
    let projector = Projector::start_on(server).await;
    projector.says("nats kv del authentik_meta projection.users").await;
    projector.deliver("hint", &hint(1)).await;
    projector.recorded(1).await;
    projector.serves(ProjectionName::Activity).await;

    put_value(&nats, &meta, "projection.users", Some("DEL")).await;
    projector.says("ready\n").await;
    projector.serves(ProjectionName::Users).await;
    projector.stop().await;
}

async fn a_sweep_meets_garbage(key: &str) {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let meta = nats.namespace.meta_bucket();
    put_value(&nats, &meta, key, None).await;
    let projector = Projector::start_with(server, Authentik::default(), &["--sweep-interval=1"]).await;
    projector.says(&format!("nats kv del authentik_meta {key}")).await;
    projector.deliver("hint", &hint(1)).await;
    projector.recorded(1).await;
    put_value(&nats, &meta, key, Some("DEL")).await;
    projector.says("ready\n").await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_what_the_sweep_notes_is_named_and_hints_go_on() {
    tokio::join!(a_sweep_meets_garbage("event-log"), a_sweep_meets_garbage("sweep"));
}
