//! While NATS hangs, revocations cannot be read, so the API refuses reads.

use std::time::{Duration, Instant};

use testkit::eventually;

use crate::support::World;
use crate::support::events::{registered, user};

#[tokio::test]
async fn a_hanging_nats_is_detected_within_the_stale_limit_and_reads_resume_after_it() {
    let world = World::with(&["--api-stale-limit", "2s"], &[]).await;
    world.record(registered(user(1, "ada"))).await;
    let token = world.token(1, &[]);
    let mut client = world.stream("", &token, None).await;
    let status = || async { world.get("/api/me", Some(&token)).await.status().as_u16() };
    assert_eq!(status().await, 200);
    world.server.pause().await;
    let begin = Instant::now();
    eventually("reads are refused", || async { (status().await == 503).then_some(()) }).await;
    // The limit, plus the interval of the check and of this test.
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(client.next().await, None);
    eventually("the connection counts as lost", || async {
        let reason = world.get("/readyz", None).await.text().await.unwrap();
        reason.contains("not connected").then_some(())
    })
    .await;
    world.server.resume().await;
    eventually("reads are answered again", || async { (status().await == 200).then_some(()) }).await;
    world.record(registered(user(2, "bob"))).await;
    let mut client = world.stream("?after=earliest", &world.admin(), None).await;
    assert_eq!(client.next().await.unwrap().event, "user-registered");
}
