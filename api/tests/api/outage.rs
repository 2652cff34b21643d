//! While NATS hangs, no revocation can be seen: then nothing is answered.

use std::time::{Duration, Instant};

use testkit::eventually;

use crate::support::World;
use crate::support::events::{registered, user};

#[tokio::test]
async fn a_nats_that_hangs_is_noticed_within_the_limit_and_found_again() {
    let world = World::with(&["--api-stale-limit", "2s"], &[]).await;
    world.record(registered(user(1, "ada"))).await;
    let token = world.token(1, &[]);
    let mut client = world.stream("", &token, None).await;
    let status = || async { world.get("/api/me", Some(&token)).await.status().as_u16() };
    assert_eq!(status().await, 200);
    world.server.pause().await;
    let begin = Instant::now();
    eventually("reads are refused", || async { (status().await == 503).then_some(()) }).await;
    // The limit, and how long the watch may take to look.
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(client.next().await, None);
    eventually("the connection counts as lost", || async {
        let said = world.get("/readyz", None).await.text().await.unwrap();
        said.contains("not connected").then_some(())
    })
    .await;
    world.server.resume().await;
    eventually("reads are answered again", || async { (status().await == 200).then_some(()) }).await;
    world.record(registered(user(2, "bob"))).await;
    let mut client = world.stream("?after=earliest", &world.admin(), None).await;
    assert_eq!(client.next().await.unwrap().event, "user-registered");
}
