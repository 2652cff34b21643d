//! Which tokens are accepted, and the answers to all others.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Response;
use serde_json::{Value, json};
use testkit::recordings;

use crate::support::events::{registered, user, uuid};
use crate::support::keys::{self, PROXY_CLIENT_ID, PROXY_SECRET, sign_with_secret};
use crate::support::other_keys::{ed25519, p_256, public_forms};
use crate::support::{ADMINS, KEY, World, now, problem};

/// The refusal of HS256 if no proxy provider is configured.
const NO_PROXY: &str =
    "X-authentik-jwt and HS256 tokens come from proxy providers, and API_PROXY_SECRET is not set";

/// An environment in which user 1 is recorded.
async fn world(settings: &[&str]) -> World {
    let world = World::with(settings, &[]).await;
    world.record(registered(user(1, "ada"))).await;
    world
}

/// The claims of a valid token of user 1.
fn valid_claims(world: &World) -> Value {
    keys::claims(&world.issuer, &uuid(1).to_string(), now(), &[])
}

/// Signs a token of user 1 with one change in its claims.
fn sign(world: &World, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = valid_claims(world);
    change(&mut claims);
    KEY.sign(&claims)
}

/// The recorded claims of one of authentik's tokens, changed to be valid for user 1 in this environment.
fn recorded_claims(world: &World, name: &str) -> Value {
    let recording = recordings::json("oidc/authorization_code_pkce.json");
    let mut claims = recording[format!("{name}_decoded")]["payload"].clone();
    let valid = valid_claims(world);
    for claim in ["iss", "sub", "aud", "exp", "iat"] {
        assert!(claims[claim].is_string() || claims[claim].is_i64(), "{name} has no {claim}");
        claims[claim] = valid[claim].clone();
    }
    if claims.get("azp").is_some() {
        claims["azp"] = valid["azp"].clone();
    }
    claims
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// A valid token of user 1, with one of its three parts replaced.
fn with_part(world: &World, index: usize, part: &str) -> String {
    let token = KEY.sign(&valid_claims(world));
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
async fn a_request_without_a_token_gets_a_challenge() {
    let world = world(&[]).await;
    let answer = world.get("/api/me", None).await;
    assert_eq!(challenge(&answer), "Bearer");
    problem(answer, 401).await;
}

#[tokio::test]
async fn a_token_with_wrong_claims_is_refused() {
    let world = world(&[]).await;
    check_accepted(&world, "a valid token", &sign(&world, |_| ())).await;
    let slashless = world.issuer.trim_end_matches('/');
    let other_client = "not an access token of this client";
    let cases = [
        ("expired", sign(&world, |c| c["exp"] = json!(now() - 60)), "expired"),
        ("not yet valid", sign(&world, |c| c["nbf"] = json!(now() + 60)), "not valid yet"),
        ("issuer", sign(&world, |c| c["iss"] = json!("https://evil.example/")), "from another issuer"),
        ("issuer without slash", sign(&world, |c| c["iss"] = json!(slashless)), "from another issuer"),
        ("audience", sign(&world, |c| c["aud"] = json!("other")), "for another audience"),
        ("client", sign(&world, |c| c["azp"] = json!("other")), other_client),
        ("no expiry", sign(&world, |c| c["exp"] = Value::Null), "not a token"),
        ("no issuer", sign(&world, |c| c["iss"] = Value::Null), "lacks a required claim"),
    ];
    for (what, token, reason) in cases {
        check_refused(&world, what, &token, reason).await;
    }
}

#[tokio::test]
async fn only_the_access_token_of_authentiks_three_tokens_is_accepted() {
    let world = world(&[]).await;
    check_accepted(&world, "access token", &KEY.sign(&recorded_claims(&world, "access_token"))).await;
    let id_token = KEY.sign(&recorded_claims(&world, "id_token"));
    check_refused(&world, "ID token", &id_token, "not an access token of this client").await;
    let recording = recordings::json("oidc/authorization_code_pkce.json");
    let refresh_token = recording["token_response"]["refresh_token"].as_str().unwrap();
    check_refused(&world, "refresh token", refresh_token, "not a token").await;
}

#[tokio::test]
async fn malformed_tokens_are_refused_over_http() {
    let world = world(&[]).await;
    let unsigned =
        format!("{}.{}.", encoded(&json!({"alg": "none", "kid": "first"})), encoded(&valid_claims(&world)));
    let critical =
        Header { kid: Some("first".into()), crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::RS256) };
    let critical = encode(&critical, &valid_claims(&world), &KEY.key).unwrap();
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
async fn a_token_signed_with_a_public_key_as_secret_is_refused() {
    let world = world(&[]).await;
    for secret in public_forms(&KEY) {
        let header = Header { kid: Some("first".into()), ..Header::new(Algorithm::HS256) };
        let named = encode(&header, &valid_claims(&world), &EncodingKey::from_secret(&secret)).unwrap();
        check_refused(&world, "with a kid", &named, NO_PROXY).await;
        check_refused(&world, "without a kid", &sign_with_secret(&valid_claims(&world), &secret), NO_PROXY)
            .await;
    }
}

#[tokio::test]
async fn a_proxy_secret_cannot_sign_tokens_of_the_clients_issuer() {
    let issuer = "https://auth.example.com/application/o/proxied/";
    let settings = [
        ["--api-proxy-secret", PROXY_SECRET],
        ["--api-proxy-issuer", issuer],
        ["--api-proxy-audience", PROXY_CLIENT_ID],
        ["--api-trusted-proxies", "127.0.0.1"],
    ];
    let world = world(settings.as_flattened()).await;
    for secret in public_forms(&KEY) {
        let token = sign_with_secret(&valid_claims(&world), &secret);
        check_refused(&world, "the public key", &token, "the signature is wrong").await;
    }
    let token = sign_with_secret(&valid_claims(&world), PROXY_SECRET.as_bytes());
    check_refused(&world, "the proxy's secret", &token, "from another issuer").await;
}

#[tokio::test]
async fn a_kid_that_looks_like_a_path_is_an_unknown_key() {
    let world = world(&[]).await;
    let header = Header { kid: Some("../../../../etc/passwd".into()), ..Header::new(Algorithm::RS256) };
    let token = encode(&header, &valid_claims(&world), &KEY.key).unwrap();
    check_refused(&world, "a path", &token, "signed with an unknown key").await;
}

#[tokio::test]
async fn without_the_identity_provider_an_unknown_key_gets_503_and_a_known_key_is_accepted() {
    let world = world(&[]).await;
    world.end_identity_provider().await;
    let header = Header { kid: Some("second".into()), ..Header::new(Algorithm::RS256) };
    let token = encode(&header, &valid_claims(&world), &KEY.key).unwrap();
    let answer = world.get("/api/me", Some(&token)).await;
    assert_eq!(answer.headers()["retry-after"], "2");
    // A challenge would make the client discard its token.
    assert!(!answer.headers().contains_key("www-authenticate"));
    problem(answer, 503).await;
    check_accepted(&world, "a known key", &sign(&world, |_| ())).await;
}

#[tokio::test]
async fn without_signing_keys_in_authentik_every_token_is_refused() {
    let mut world = World::start().await;
    "{}".clone_into(&mut world.jwks.lock().unwrap());
    world.restart_api().await;
    let admin = world.token(1, &[ADMINS]);
    check_refused(&world, "no keys", &admin, "signed with an unknown key").await;
}

#[tokio::test]
async fn tokens_signed_with_p_256_and_ed25519_are_accepted() {
    let world = world(&[]).await;
    let keys = [p_256("elliptic"), ed25519("edwards")];
    let others = [p_256("elliptic"), ed25519("edwards")];
    let published = [KEY.jwk(), keys[0].jwk(), keys[1].jwk()];
    *world.jwks.lock().unwrap() = json!({"keys": published}).to_string();
    for (key, other) in keys.iter().zip(&others) {
        check_accepted(&world, &key.kid, &key.sign(&valid_claims(&world))).await;
        check_refused(&world, &key.kid, &other.sign(&valid_claims(&world)), "the signature is wrong").await;
    }
    // The name of one key with the signature of another.
    let [elliptic, edwards] = keys;
    let confused = elliptic.renamed(&edwards.kid).sign(&valid_claims(&world));
    check_refused(&world, "confused", &confused, "signed with an unsupported algorithm").await;
    check_accepted(&world, "RS256", &sign(&world, |_| ())).await;
}
