//! Callers who are signed in by a reverse proxy.

use std::net::IpAddr;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::events::{deactivated, in_group, left, registered, user};
use crate::support::keys::{PROXY_CLIENT_ID, PROXY_SECRET, proxy_claims, sign_with_secret};
use crate::support::sse::Client;
use crate::support::{ADMINS, World, now, problem};

const ISSUER: &str = "https://auth.example.com/application/o/proxied/";

/// An environment whose API trusts a reverse proxy at 127.0.0.1.
async fn world() -> World {
    let settings = [
        "--api-proxy-secret",
        PROXY_SECRET,
        "--api-proxy-issuer",
        ISSUER,
        "--api-proxy-audience",
        PROXY_CLIENT_ID,
        "--api-trusted-proxies",
        "192.0.2.1,127.0.0.1",
    ];
    World::with(&settings, &[]).await
}

/// The claims of an outpost's token for the user with this primary key.
fn claims(pk: i64, groups: &[&str]) -> Value {
    proxy_claims(ISSUER, &user(pk, "somebody").uid, now(), groups)
}

fn signed(claims: &Value) -> String {
    sign_with_secret(claims, PROXY_SECRET.as_bytes())
}

/// Sends a request as the reverse proxy does.
async fn passed_on(world: &World, method: Method, path: &str, token: &str) -> Response {
    let request = reqwest::Client::new().request(method, format!("{}{path}", world.api.url));
    request.header("X-authentik-jwt", token).send().await.unwrap()
}

async fn get(world: &World, path: &str, token: &str) -> Response {
    passed_on(world, Method::GET, path, token).await
}

#[tokio::test]
async fn a_token_from_a_trusted_proxy_identifies_the_caller() {
    let world = world().await;
    world.record(registered(user(1, "ada"))).await;
    world.record(registered(user(2, "grace"))).await;
    let ada = signed(&claims(1, &[]));
    let me: Value = get(&world, "/api/me", &ada).await.json().await.unwrap();
    assert_eq!((&me["pk"], &me["is_admin"]), (&json!(1), &json!(false)));
    // Nginx Proxy Manager passes it on as a bearer token.
    let me = world.json("/api/me", Some(&ada)).await;
    assert_eq!(me["pk"], json!(1));
    problem(get(&world, "/api/users", &ada).await, 403).await;
    let admin = signed(&claims(2, &[ADMINS]));
    assert_eq!(get(&world, "/api/users", &admin).await.status().as_u16(), 200);
    // Tokens of the front end's client are still accepted.
    world.json("/api/me", Some(&world.token(1, &[]))).await;
}

#[tokio::test]
async fn proxy_tokens_from_untrusted_addresses_are_refused() {
    let world = world().await;
    world.record(registered(user(1, "ada"))).await;
    let ada = signed(&claims(1, &[]));
    let elsewhere: IpAddr = [127, 0, 0, 2].into();
    let stranger = reqwest::Client::builder().local_address(elsewhere).build().unwrap();
    let request = || stranger.get(format!("{}/api/me", world.api.url)).header("X-Forwarded-For", "127.0.0.1");
    let header = problem(request().header("X-authentik-jwt", &ada).send().await.unwrap(), 401).await;
    assert!(header.contains("X-authentik-jwt") && header.contains("API_TRUSTED_PROXIES"), "{header}");
    let bearer = problem(request().bearer_auth(&ada).send().await.unwrap(), 401).await;
    assert!(bearer.contains("HS256") && bearer.contains("API_TRUSTED_PROXIES"), "{bearer}");
    let own = request().bearer_auth(world.token(1, &[])).send().await.unwrap();
    assert_eq!(own.status().as_u16(), 200);
}

#[tokio::test]
async fn proxy_tokens_are_refused_without_the_proxy_settings() {
    let world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    let ada = signed(&claims(1, &[]));
    for refused in [get(&world, "/api/me", &ada).await, world.get("/api/me", Some(&ada)).await] {
        assert!(problem(refused, 401).await.contains("API_PROXY_SECRET is not set"));
    }
}

#[tokio::test]
async fn unsigned_headers_authenticate_nobody_even_from_a_trusted_proxy() {
    let world = world().await;
    world.record(registered(in_group(user(1, "ada"), 1, ADMINS))).await;
    let request = reqwest::Client::new().get(format!("{}/api/me", world.api.url));
    let request = request.header("X-authentik-username", "ada").header("X-authentik-groups", ADMINS);
    let request = request.header("X-authentik-uid", user(1, "ada").uid).header("X-authentik-jwt", "");
    problem(request.send().await.unwrap(), 401).await;
}

#[tokio::test]
async fn revocations_apply_to_callers_behind_a_proxy() {
    let world = world().await;
    world.record(registered(user(1, "ada"))).await;
    world.record(registered(in_group(user(2, "grace"), 1, ADMINS))).await;
    let (ada, grace) = (signed(&claims(1, &[])), signed(&claims(2, &[ADMINS])));
    let mut streams = [world.stream("", &ada, None).await, world.stream("", &grace, None).await];
    world.record(deactivated(user(1, "ada"))).await;
    world.record(left(user(2, "grace"), 1, ADMINS)).await;
    for stream in &mut streams {
        assert_eq!(last_of(stream).await, "revoked");
    }
    problem(get(&world, "/api/me", &ada).await, 401).await;
    problem(get(&world, "/api/users", &grace).await, 403).await;
}

/// Reads a stream to its end, and returns the type of its last event.
async fn last_of(stream: &mut Client) -> String {
    let mut last = String::new();
    while let Some(received) = stream.next().await {
        last = received.event;
    }
    last
}

#[tokio::test]
async fn a_stream_ends_when_its_proxy_token_expires() {
    let world = world().await;
    let mut claims = claims(1, &[ADMINS]);
    claims["exp"] = json!(now() + 1);
    let mut stream = world.stream("", &signed(&claims), None).await;
    assert_eq!(last_of(&mut stream).await, "token-expired");
}

#[tokio::test]
async fn callers_behind_a_proxy_have_the_same_rate_limit_as_others() {
    let world = world().await;
    world.record(registered(user(1, "ada"))).await;
    let ada = signed(&claims(1, &[]));
    let mut statuses = vec![];
    for _ in 0..11 {
        statuses.push(passed_on(&world, Method::POST, "/api/me/resync", &ada).await.status().as_u16());
    }
    assert_eq!(statuses, [[202; 10].as_slice(), &[429]].concat());
}
