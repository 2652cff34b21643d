//! Garbage in streams and buckets: it affects only what depends on it.

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

/// The largest message that the server accepts.
const MAX_PAYLOAD: usize = 1024 * 1024;

const GARBAGE: &str = "<html>";

async fn projections(projector: &Projector) -> Projections {
    let nats = projector.nats.clone();
    Projections { log: EventLog::open(&nats).await.unwrap(), nats, replicas: 1 }
}

/// Writes garbage into a bucket, or deletes a key.
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
    /// Waits until the projection has applied all events, and verifies it.
    async fn serves(&self, name: ProjectionName) {
        let projections = projections(self).await;
        let head = projections.log.head().await.unwrap();
        let verified = eventually("the projection has applied all events", || async {
            let verified = projections.verify(name, |_, _| {}).await.ok()?;
            (verified.sequence >= head).then_some(verified)
        })
        .await;
        assert!(verified.holds(), "{verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_inbox_becomes_dead_letters_and_does_not_block_hints() {
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
            "{id} is not a dead letter: {letters:?}"
        );
    }
    projector.becomes_ready().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_among_the_events_of_a_user_affects_only_that_user() {
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
    projector.becomes_ready().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_garbage_in_a_projection_and_a_rebuild_removes_it() {
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
        projector.becomes_ready().await;
        projector.serves(ProjectionName::Users).await;
        projector.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_a_lease_expires_like_the_lease_of_a_dead_holder() {
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
async fn readiness_names_garbage_in_a_pointer_and_the_pointer_is_created_again_after_its_deletion() {
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
    projector.becomes_ready().await;
    projector.serves(ProjectionName::Users).await;
    projector.stop().await;
}

async fn sweep_with_garbage_in(key: &str) {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let meta = nats.namespace.meta_bucket();
    put_value(&nats, &meta, key, None).await;
    let projector = Projector::start_with(server, Authentik::default(), &["--sweep-interval=1"]).await;
    projector.says(&format!("nats kv del authentik_meta {key}")).await;
    projector.deliver("hint", &hint(1)).await;
    projector.recorded(1).await;
    put_value(&nats, &meta, key, Some("DEL")).await;
    projector.becomes_ready().await;
    projector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_garbage_in_the_state_of_the_sweep_and_hints_are_still_recorded() {
    tokio::join!(sweep_with_garbage_in("event-log"), sweep_with_garbage_in("sweep"));
}
