//! Which tokens the API takes, and what it says to others.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::events::{registered, user, uuid};
use crate::support::keys::{SigningKey, claims, jwks};
use crate::support::{KEY, World, now, problem};

fn p256(kid: &str) -> SigningKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    SigningKey::from_pkcs8(kid, pair.to_pkcs8v1().unwrap().as_ref(), Algorithm::ES256)
}

fn ed25519(kid: &str) -> SigningKey {
    let pair = Ed25519KeyPair::generate().unwrap();
    SigningKey::from_pkcs8(kid, pair.to_pkcs8v1().unwrap().as_ref(), Algorithm::EdDSA)
}

fn good(world: &World) -> Value {
    claims(&world.issuer, &uuid(1).to_string(), now(), &[])
}

async fn is_refused(world: &World, token: &str, reason: &str) {
    let answer = world.get("/api/me", Some(token)).await;
    let challenge = format!(r#"Bearer error="invalid_token", error_description="{reason}""#);
    assert_eq!(answer.headers()["www-authenticate"], challenge);
    assert_eq!(problem(answer, 401).await, format!("the access token is not accepted: {reason}"));
}

#[tokio::test]
async fn a_token_whose_claims_are_of_something_else_or_of_another_time_is_refused() {
    let world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    world.json("/api/me", Some(&KEY.sign(&good(&world)))).await;
    let slashless = world.issuer.trim_end_matches('/');
    let (expired, early) = (now() - 10, now() + 60);
    for (claim, value, reason) in [
        ("iss", json!("https://evil.example/"), "of another issuer"),
        ("iss", json!(slashless), "of another issuer"),
        ("aud", json!("other"), "for another audience"),
        ("azp", json!("other"), "not an access token of this client"),
        ("exp", json!(expired), "expired"),
        ("nbf", json!(early), "not valid yet"),
    ] {
        let mut changed = good(&world);
        changed[claim] = value;
        is_refused(&world, &KEY.sign(&changed), reason).await;
    }
    // An ID token.
    let mut identity = good(&world);
    identity.as_object_mut().unwrap().retain(|claim, _| !["azp", "scope"].contains(&claim.as_str()));
    is_refused(&world, &KEY.sign(&identity), "not an access token of this client").await;
}

#[tokio::test]
async fn a_token_that_nobody_signed_who_may_is_refused() {
    let world = World::start().await;
    let payload = URL_SAFE_NO_PAD.encode(good(&world).to_string());
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"first"}"#);
    is_refused(&world, &format!("{header}.{payload}."), "not a token").await;
    let public = EncodingKey::from_secret(KEY.jwk()["n"].as_str().unwrap().as_bytes());
    let header = Header { kid: Some("first".into()), ..Header::new(Algorithm::HS256) };
    let not_set = "X-authentik-jwt and HS256 are for proxy providers, and API_PROXY_SECRET is not set";
    is_refused(&world, &encode(&header, &good(&world), &public).unwrap(), not_set).await;
    let stranger = SigningKey::generate("first");
    is_refused(&world, &stranger.sign(&good(&world)), "the signature is wrong").await;
    is_refused(&world, &KEY.called("../../etc/passwd").sign(&good(&world)), "signed with an unknown key")
        .await;
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let world = World::start().await;
    // A refresh token of authentik is opaque.
    for text in ["a.b.c", "!!!.???.***", "eyJhbGciOiJSUzI1NiJ9", "Vb3r0pWyGfqg8Qm2sJt6"] {
        is_refused(&world, text, "not a token").await;
    }
    is_refused(&world, &"x".repeat(100 * 1024), "larger than 16 KiB").await;
    let critical =
        Header { kid: Some("first".into()), crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::RS256) };
    let token = encode(&critical, &good(&world), &KEY.key).unwrap();
    is_refused(&world, &token, "has critical headers").await;
}

#[tokio::test]
async fn keys_of_each_kind_are_good_with_or_without_the_name_of_their_algorithm() {
    let world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    let (second, third) = (p256("second"), ed25519("third"));
    let mut published: Value = serde_json::from_str(&jwks(&[&KEY, &second, &third])).unwrap();
    for key in published["keys"].as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("alg");
    }
    *world.jwks.lock().unwrap() = published.to_string();
    for key in [&*KEY, &second, &third] {
        assert_eq!(world.json("/api/me", Some(&key.sign(&good(&world)))).await["pk"], 1);
    }
    // A key of another kind by the same name.
    let mixed_up = p256("first");
    let answer = world.get("/api/me", Some(&mixed_up.sign(&good(&world)))).await;
    problem(answer, 401).await;
}

#[tokio::test]
async fn while_keys_cannot_be_had_known_ones_go_on_and_others_are_asked_to_wait() {
    let mut world = World::start().await;
    world.record(registered(user(1, "ada"))).await;
    world.json("/api/me", Some(&KEY.sign(&good(&world)))).await;
    *world.jwks.lock().unwrap() = "<html>bad gateway</html>".to_owned();
    let answer = world.get("/api/me", Some(&KEY.called("second").sign(&good(&world)))).await;
    assert!(answer.headers().contains_key("retry-after"));
    problem(answer, 503).await;
    let mut another = good(&world);
    another["jti"] = json!("another one");
    world.json("/api/me", Some(&KEY.sign(&another))).await;
    // A provider without a signing key publishes this.
    *world.jwks.lock().unwrap() = "{}".to_owned();
    world.restart_api().await;
    is_refused(&world, &KEY.sign(&good(&world)), "signed with an unknown key").await;
}
