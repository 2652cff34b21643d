//! Revoked users and expired tokens lose access at once.

use std::time::Instant;

use serde_json::json;
use testkit::eventually;

use crate::support::events::{
    deactivated, deleted, erased, in_group, joined, left, reactivated, registered, user, uuid,
};
use crate::support::keys::{SigningKey, claims, jwks};
use crate::support::{ADMINS, KEY, World, check_within, now, problem, record};

#[tokio::test]
async fn a_deactivated_user_loses_access_at_once() {
    let world = World::start().await;
    let ada = || user(1, "ada");
    world.record(registered(ada())).await;
    let token = world.token(1, &[]);
    let mut client = world.stream("", &token, None).await;
    world.json("/api/me", Some(&token)).await;

    let begin = Instant::now();
    record(&world.log, deactivated(ada())).await;
    let received = client.next().await.unwrap();
    assert_eq!(
        (received.event.as_str(), received.data.as_str()),
        ("revoked", r#"{"reason":"the user is deactivated"}"#)
    );
    assert_eq!(client.next().await, None);
    check_within(1, begin);
    let refused = world.get("/api/me", Some(&token)).await;
    let challenge = r#"Bearer error="invalid_token", error_description="the user is deactivated""#;
    assert_eq!(refused.headers()["www-authenticate"], challenge);
    problem(refused, 401).await;

    world.record(reactivated(ada())).await;
    world.json("/api/me", Some(&token)).await;
}

#[tokio::test]
async fn a_deleted_or_erased_user_has_no_access_until_registered_again() {
    let world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    world.record(registered(user(2, "grace"))).await;
    let (ada, grace) = (world.token(1, &[]), world.token(2, &[]));
    world.record(deleted(user(1, "ada"))).await;
    world.record(erased(2)).await;
    problem(world.get("/api/me", Some(&ada)).await, 401).await;
    problem(world.get("/api/me", Some(&grace)).await, 401).await;
    world.record(registered(user(1, "ada"))).await;
    world.json("/api/me", Some(&ada)).await;
    // After a restore of authentik, the primary key belongs to another user.
    let other = domain::snapshot::User { uuid: uuid::Uuid::from_u128(5), ..user(1, "eve") };
    world.record(deleted(user(1, "ada"))).await;
    world.record(registered(other)).await;
    problem(world.get("/api/me", Some(&ada)).await, 401).await;
}

#[tokio::test]
async fn an_admin_who_leaves_the_admin_group_loses_admin_rights() {
    let world = World::start().await;
    world.record(registered(in_group(user(1, "ada"), 1, ADMINS))).await;
    let token = world.token(1, &[ADMINS]);
    let mut client = world.stream("", &token, None).await;
    world.json("/api/users", Some(&token)).await;
    record(&world.log, left(user(1, "ada"), 1, ADMINS)).await;
    let received = client.next().await.unwrap();
    assert_eq!(received.event, "revoked");
    assert_eq!(client.next().await, None);
    problem(world.get("/api/users", Some(&token)).await, 403).await;
    // They can still read about themselves, and stream their own events.
    world.json("/api/me", Some(&token)).await;
    world.stream("", &token, None).await;
    world.record(joined(user(1, "ada"), 1, ADMINS)).await;
    world.json("/api/users", Some(&token)).await;
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    let world = World::start().await;
    let mut token = claims(&world.issuer, "nobody", now(), &[ADMINS]);
    token["exp"] = json!(now() + 1);
    let mut client = world.stream("", &KEY.sign(&token), None).await;
    let received = client.next().await.unwrap();
    assert_eq!(received.event, "token-expired");
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn streams_end_and_reads_are_refused_after_the_stale_limit_without_nats() {
    let mut world = World::with(&["--api-stale-limit", "0.3s"], &[]).await;
    world.record(registered(user(1, "ada"))).await;
    let token = world.token(1, &[]);
    let mut client = world.stream("", &token, None).await;
    world.server.kill().await;
    assert_eq!(client.next().await, None);
    let refused = world.get("/api/me", Some(&token)).await;
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, 503).await;
    world.server.restart().await;
    eventually("reads are answered again", || async {
        (world.get("/api/me", Some(&token)).await.status().as_u16() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn known_keys_are_accepted_while_the_identity_provider_serves_no_keys() {
    let world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    let token = world.token(1, &[]);
    world.json("/api/me", Some(&token)).await;
    "<html>".clone_into(&mut world.jwks.lock().unwrap());
    world.json("/api/me", Some(&token)).await;
    world.json("/api/me", Some(&world.token(1, &["another"]))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_during_a_key_rotation() {
    let world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    let second = SigningKey::generate("second");
    let new_token = |n: usize| {
        let mut claims = claims(&world.issuer, &uuid(1).to_string(), now(), &[]);
        claims["jti"] = json!(n);
        second.sign(&claims)
    };
    world.json("/api/me", Some(&world.token(1, &[]))).await;
    *world.jwks.lock().unwrap() = jwks(&[&KEY, &second]);
    // Tokens of both keys at the same time. Each token of the new key is used for the first time.
    let calls = (0..64).map(|n| {
        let token = if n % 2 == 0 { world.token(1, &[]) } else { new_token(n) };
        let world = &world;
        async move { world.get("/api/me", Some(&token)).await.status() }
    });
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|status| status.as_u16() == 200), "{answers:?}");
}

#[tokio::test]
async fn a_token_that_is_too_large_is_refused() {
    let world = World::start().await;
    let huge = format!("Bearer {}", "x".repeat(100 * 1024));
    let request = reqwest::Client::new().get(format!("{}/api/me", world.api.url));
    let answer = request.header("authorization", huge).send().await.unwrap();
    assert!(problem(answer, 401).await.contains("larger than 16 KiB"));
}

#[tokio::test]
async fn revocations_that_no_projection_contains_hold_at_every_api_and_after_a_restart() {
    let ada = || user(1, "ada");
    let first = in_group(user(2, "grace"), 1, ADMINS);
    let mut world = World::with(&[], &[registered(ada()), registered(first)]).await;
    // No projection contains the events from here on.
    let mut other = world.another_api().await;
    let (token, admin) = (world.token(1, &[]), world.token(2, &[ADMINS]));
    let mut clients = vec![];
    for _ in 0..2 {
        clients.push(world.stream("", &token, None).await);
        clients.push(world.stream("", &admin, None).await);
        std::mem::swap(&mut world.api, &mut other);
    }
    let begin = Instant::now();
    record(&world.log, deactivated(ada())).await;
    record(&world.log, left(user(2, "grace"), 1, ADMINS)).await;
    for client in &mut clients {
        while client.next().await.is_some_and(|received| received.event != "revoked") {}
        assert_eq!(client.next().await, None);
    }
    check_within(1, begin);
    for _ in 0..2 {
        problem(world.get("/api/me", Some(&token)).await, 401).await;
        problem(world.get("/api/users", Some(&admin)).await, 403).await;
        std::mem::swap(&mut world.api, &mut other);
    }
    world.restart_api().await;
    problem(world.get("/api/me", Some(&token)).await, 401).await;
    problem(world.get("/api/users", Some(&admin)).await, 403).await;
    other.stop().await;
}
