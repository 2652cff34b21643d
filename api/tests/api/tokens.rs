//! Which tokens are let in, and what is answered to all others.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Response;
use serde_json::{Value, json};
use testkit::recordings;

use crate::support::events::{registered, user, uuid};
use crate::support::keys::{self, PROXY_CLIENT_ID, PROXY_SECRET, sign_with_secret};
use crate::support::other_keys::{OtherKey, public_forms};
use crate::support::{ADMINS, KEY, World, now, problem};

/// Why HS256 is refused where no proxy provider is set up.
const NO_PROXY: &str = "X-authentik-jwt and HS256 are for proxy providers, and API_PROXY_SECRET is not set";

/// A world in which user 1 is recorded.
async fn world(settings: &[&str]) -> World {
    let world = World::with(settings, &[]).await;
    world.record(registered(user(1, "ada"))).await;
    world
}

/// The claims of a good token of user 1.
fn good(world: &World) -> Value {
    keys::claims(&world.issuer, &uuid(1).to_string(), now(), &[])
}

/// A token of user 1 that is good but for this change.
fn but(world: &World, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = good(world);
    change(&mut claims);
    KEY.sign(&claims)
}

/// What authentik put into a token of this name, as if it were user 1's, of this world and of now.
fn recorded(world: &World, name: &str) -> Value {
    let recording = recordings::json("oidc/authorization_code_pkce.json");
    let mut claims = recording[format!("{name}_decoded")]["payload"].clone();
    let good = good(world);
    for claim in ["iss", "sub", "aud", "exp", "iat"] {
        assert!(claims[claim].is_string() || claims[claim].is_i64(), "{name} has no {claim}");
        claims[claim] = good[claim].clone();
    }
    if claims.get("azp").is_some() {
        claims["azp"] = good["azp"].clone();
    }
    claims
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// A good token of user 1, with something else in place of one of its three parts.
fn with_part(world: &World, index: usize, part: &str) -> String {
    let token = KEY.sign(&good(world));
    let mut parts: Vec<_> = token.split('.').collect();
    parts[index] = part;
    parts.join(".")
}

fn challenge(answer: &Response) -> &str {
    answer.headers()["www-authenticate"].to_str().unwrap()
}

async fn check_refused(world: &World, what: &str, token: &str, reason: &str) {
    let answer = world.get("/api/me", Some(token)).await;
    assert_eq!(answer.status().as_u16(), 401, "{what}");
    let expected = format!(r#"Bearer error="invalid_token", error_description="{reason}""#);
    assert_eq!(challenge(&answer), expected, "{what}");
    let detail = problem(answer, 401).await;
    assert_eq!(detail, format!("the access token is not accepted: {reason}"), "{what}");
}

async fn check_accepted(world: &World, what: &str, token: &str) {
    let answer = world.get("/api/me", Some(token)).await;
    assert_eq!(answer.status().as_u16(), 200, "{what}: {}", answer.text().await.unwrap());
    assert_eq!(answer.json::<Value>().await.unwrap()["pk"], 1, "{what}");
}

#[tokio::test]
async fn a_request_without_a_token_is_asked_for_one() {
    let world = world(&[]).await;
    let answer = world.get("/api/me", None).await;
    assert_eq!(challenge(&answer), "Bearer");
    problem(answer, 401).await;
}

#[tokio::test]
async fn a_token_with_wrong_claims_is_refused() {
    let world = world(&[]).await;
    check_accepted(&world, "the good one", &but(&world, |_| ())).await;
    let slashless = world.issuer.trim_end_matches('/');
    let another = "not an access token of this client";
    let cases = [
        ("expired", but(&world, |c| c["exp"] = json!(now() - 60)), "expired"),
        ("not yet valid", but(&world, |c| c["nbf"] = json!(now() + 60)), "not valid yet"),
        ("issuer", but(&world, |c| c["iss"] = json!("https://evil.example/")), "of another issuer"),
        ("issuer without slash", but(&world, |c| c["iss"] = json!(slashless)), "of another issuer"),
        ("audience", but(&world, |c| c["aud"] = json!("other")), "for another audience"),
        ("application", but(&world, |c| c["azp"] = json!("other")), another),
        ("no end", but(&world, |c| c["exp"] = Value::Null), "not a token"),
        ("no issuer", but(&world, |c| c["iss"] = Value::Null), "lacks a required claim"),
    ];
    for (what, token, reason) in cases {
        check_refused(&world, what, &token, reason).await;
    }
}

#[tokio::test]
async fn of_authentiks_three_tokens_only_the_access_token_is_accepted() {
    let world = world(&[]).await;
    check_accepted(&world, "access token", &KEY.sign(&recorded(&world, "access_token"))).await;
    let id_token = KEY.sign(&recorded(&world, "id_token"));
    check_refused(&world, "ID token", &id_token, "not an access token of this client").await;
    let recording = recordings::json("oidc/authorization_code_pkce.json");
    let refresh_token = recording["token_response"]["refresh_token"].as_str().unwrap();
    check_refused(&world, "refresh token", refresh_token, "not a token").await;
}

#[tokio::test]
async fn what_is_no_token_is_refused_over_http() {
    let world = world(&[]).await;
    let unsigned =
        format!("{}.{}.", encoded(&json!({"alg": "none", "kid": "first"})), encoded(&good(&world)));
    let critical =
        Header { kid: Some("first".into()), crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::RS256) };
    let critical = encode(&critical, &good(&world), &KEY.key).unwrap();
    let padding = json!({"alg": "RS256", "kid": "first", "x": "x".repeat(75_000)});
    let large = with_part(&world, 0, &encoded(&padding));
    assert!(large.len() > 100_000);
    let cases = [
        ("alg: none", unsigned, "not a token"),
        ("crit", critical, "has critical headers"),
        ("100 kB", large, "larger than 16 KiB"),
        ("broken header", with_part(&world, 0, "!!!"), "not a token"),
        ("broken claims", with_part(&world, 1, "???"), "the signature is wrong"),
        ("broken signature", with_part(&world, 2, "***"), "not a token"),
        ("other claims", with_part(&world, 1, &encoded(&json!({"sub": "x"}))), "the signature is wrong"),
    ];
    for (what, token, reason) in cases {
        check_refused(&world, what, &token, reason).await;
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret_to_sign_with() {
    let world = world(&[]).await;
    for secret in public_forms(&KEY) {
        let header = Header { kid: Some("first".into()), ..Header::new(Algorithm::HS256) };
        let named = encode(&header, &good(&world), &EncodingKey::from_secret(&secret)).unwrap();
        check_refused(&world, "with a kid", &named, NO_PROXY).await;
        check_refused(&world, "without a kid", &sign_with_secret(&good(&world), &secret), NO_PROXY).await;
    }
}

#[tokio::test]
async fn a_proxys_secret_does_not_sign_for_the_clients_issuer() {
    let issuer = "https://auth.example.com/application/o/proxied/";
    let settings = [
        ["--api-proxy-secret", PROXY_SECRET],
        ["--api-proxy-issuer", issuer],
        ["--api-proxy-audience", PROXY_CLIENT_ID],
        ["--api-trusted-proxies", "127.0.0.1"],
    ];
    let world = world(settings.as_flattened()).await;
    for secret in public_forms(&KEY) {
        let token = sign_with_secret(&good(&world), &secret);
        check_refused(&world, "the public key", &token, "the signature is wrong").await;
    }
    let token = sign_with_secret(&good(&world), PROXY_SECRET.as_bytes());
    check_refused(&world, "the proxy's secret", &token, "of another issuer").await;
}

#[tokio::test]
async fn a_kid_is_not_a_path() {
    let world = world(&[]).await;
    let header = Header { kid: Some("../../../../etc/passwd".into()), ..Header::new(Algorithm::RS256) };
    let token = encode(&header, &good(&world), &KEY.key).unwrap();
    check_refused(&world, "a path", &token, "signed with an unknown key").await;
}

#[tokio::test]
async fn while_the_keys_cannot_be_read_an_unknown_one_is_told_to_come_back() {
    let world = world(&[]).await;
    world.end_identity_provider().await;
    let header = Header { kid: Some("second".into()), ..Header::new(Algorithm::RS256) };
    let token = encode(&header, &good(&world), &KEY.key).unwrap();
    let answer = world.get("/api/me", Some(&token)).await;
    assert_eq!(answer.headers()["retry-after"], "2");
    // Who is sent away with a challenge throws the token away.
    assert!(!answer.headers().contains_key("www-authenticate"));
    problem(answer, 503).await;
    check_accepted(&world, "a known key", &but(&world, |_| ())).await;
}

#[tokio::test]
async fn without_a_signing_key_in_authentik_nobody_is_let_in() {
    let mut world = World::start().await;
    "{}".clone_into(&mut world.jwks.lock().unwrap());
    world.restart_api().await;
    let admin = world.token(1, &[ADMINS]);
    check_refused(&world, "no keys", &admin, "signed with an unknown key").await;
}

#[tokio::test]
async fn tokens_may_be_signed_with_p_256_and_with_ed25519() {
    let world = world(&[]).await;
    let keys = [OtherKey::p_256("elliptic"), OtherKey::ed25519("edwards")];
    let published = [KEY.jwk(), keys[0].jwk(), keys[1].jwk()];
    *world.jwks.lock().unwrap() = json!({"keys": published}).to_string();
    for key in &keys {
        check_accepted(&world, key.kid, &key.sign(&good(&world))).await;
        check_refused(&world, key.kid, &key.anew().sign(&good(&world)), "the signature is wrong").await;
    }
    // A name of one key, and the signature of another.
    let [elliptic, edwards] = keys;
    let confused = elliptic.named(edwards.kid);
    check_refused(&world, "confused", &confused.sign(&good(&world)), "signed in a way that is not accepted")
        .await;
    check_accepted(&world, "RS256", &but(&world, |_| ())).await;
}
