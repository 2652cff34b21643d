//! Installations are separate even if the namespace of one is a prefix of the other's.
#![expect(clippy::unwrap_used, reason = "a failed step must fail the test")]

use std::collections::BTreeSet;

use domain::key::Namespace;
use runtime::nats::Nats;
use runtime::provision::{ensure_projection_bucket, provision};
use store::generations;
use testkit::NatsServer;

async fn installation(server: &NatsServer, name: &str, generations: &[u64]) -> Nats {
    let nats = testkit::nats::connect(server.url(), name.parse().unwrap()).await;
    assert_eq!(provision(&nats, 1).await.unwrap(), Vec::<String>::new(), "{name}");
    for generation in generations {
        let bucket = nats.namespace.projection_bucket("users", *generation);
        ensure_projection_bucket(&nats, &bucket, 1).await.unwrap();
    }
    nats
}

#[tokio::test]
async fn only_generations_of_the_own_namespace_are_listed_and_deleted() {
    let server = NatsServer::start().await;
    let blue = installation(&server, "blue", &[1, 7]).await;
    let other = installation(&server, "blue-2", &[2, 7]).await;
    assert_eq!(generations::list(&blue, "users").await.unwrap(), BTreeSet::from([1, 7]));
    assert_eq!(generations::list(&other, "users").await.unwrap(), BTreeSet::from([2, 7]));
    generations::delete(&blue, "users", 7).await.unwrap();
    assert_eq!(generations::list(&other, "users").await.unwrap(), BTreeSet::from([2, 7]));
}

#[test]
fn a_subject_of_another_namespace_has_no_delivery_id() {
    let names = ["blue", "blue-2", "blue-inbox", "b"];
    for name in names {
        let namespace: Namespace = name.parse().unwrap();
        for other in names {
            let subject = other.parse::<Namespace>().unwrap().inbox_subject(&"x".parse().unwrap());
            assert_eq!(namespace.delivery_of(&subject).is_some(), name == other, "{subject} for {name}");
        }
    }
}
