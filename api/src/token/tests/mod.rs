//! Tests of token verification, with a fake key source.

mod proxy;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use poem::http::header::AUTHORIZATION;
use poem::http::{HeaderMap, HeaderValue};
use runtime::CancellationToken;
use serde_json::{Value, json};

use super::keys::KeySource;
use super::test_keys::{CLIENT_ID, SigningKey, claims, jwks};
use super::*;

const ISSUER: &str = "https://auth.example.com/application/o/events/";
const NOW: i64 = 1_795_337_558;

/// A key source with a configurable answer, which counts its requests.
#[derive(Default)]
struct Fake {
    answer: Mutex<Option<String>>,
    n_requests: AtomicUsize,
}

impl KeySource for Arc<Fake> {
    fn fetch(&self) -> BoxFuture<'_, anyhow::Result<Vec<u8>>> {
        self.n_requests.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer.lock().unwrap().clone();
        Box::pin(async move {
            // Lets other requests arrive while this fetch runs.
            tokio::task::yield_now().await;
            Ok(answer.ok_or_else(|| anyhow::anyhow!("authentik is unavailable"))?.into_bytes())
        })
    }
}

struct Verifier {
    source: Arc<Fake>,
    tokens: Tokens,
    key: SigningKey,
}

impl Verifier {
    fn with(cooldown: Duration, proxy: Option<ProxyVerifier>) -> Self {
        let key = SigningKey::generate("first");
        let source = Arc::new(Fake { answer: Mutex::new(Some(jwks(&[&key]))), ..Fake::default() });
        let keys = Arc::new(KeyStore::new(Arc::clone(&source), cooldown));
        let expected = Expected {
            issuer: ISSUER.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            accepted: AcceptedTokens::AccessTokens,
        };
        Self { source, tokens: Tokens::new(keys, expected, proxy), key }
    }

    fn new() -> Self {
        Self::with(Duration::from_hours(1), None)
    }

    fn publish(&self, answer: Option<String>) {
        *self.source.answer.lock().unwrap() = answer;
    }

    fn n_requests(&self) -> usize {
        self.source.n_requests.load(Ordering::SeqCst)
    }

    async fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        self.tokens.verify(&authorization(&format!("Bearer {token}")), None, NOW).await
    }

    async fn verify_claims(&self, change: impl FnOnce(&mut Value)) -> Result<Arc<Claims>, TokenError> {
        let mut claims = valid_claims();
        change(&mut claims);
        self.verify(&self.key.sign(&claims)).await
    }
}

fn authorization(value: &str) -> HeaderMap {
    [(AUTHORIZATION, value.parse().unwrap())].into_iter().collect()
}

fn valid_claims() -> Value {
    claims(ISSUER, "8c68b6b6-9a66-4e8d-9359-10d7286dcf2d", NOW, &["navy"])
}

/// Removes the claims that only access tokens have.
fn make_id_token(claims: &mut Value) {
    claims.as_object_mut().unwrap().retain(|name, _| name != "azp" && name != "scope");
}

#[track_caller]
fn check_refused(result: Result<Arc<Claims>, TokenError>, expected: &'static str) {
    assert_eq!(result.unwrap_err(), TokenError::Invalid(expected));
}

#[tokio::test]
async fn an_access_token_identifies_its_user() {
    let claims = Verifier::new().verify_claims(|_| ()).await.unwrap();
    assert_eq!(claims.uuid().unwrap().to_string(), "8c68b6b6-9a66-4e8d-9359-10d7286dcf2d");
    assert_eq!(claims.groups, ["navy"]);
}

#[tokio::test]
async fn a_token_with_another_issuer_audience_or_client_is_refused() {
    let verifier = Verifier::new();
    let slashless = ISSUER.trim_end_matches('/');
    check_refused(verifier.verify_claims(|c| c["iss"] = json!(slashless)).await, "from another issuer");
    check_refused(
        verifier.verify_claims(|c| c["iss"] = json!("https://evil.example/")).await,
        "from another issuer",
    );
    check_refused(verifier.verify_claims(|c| c["aud"] = json!("other")).await, "for another audience");
    let other_client = "not an access token of this client";
    check_refused(verifier.verify_claims(|c| c["azp"] = json!("other")).await, other_client);
}

#[tokio::test]
async fn a_token_is_accepted_only_in_its_validity_period_with_a_leeway_of_five_seconds() {
    let verifier = Verifier::new();
    assert!(verifier.verify_claims(|c| c["exp"] = json!(NOW - 4)).await.is_ok());
    check_refused(verifier.verify_claims(|c| c["exp"] = json!(NOW - 5)).await, "expired");
    assert!(verifier.verify_claims(|c| c["nbf"] = json!(NOW + 5)).await.is_ok());
    check_refused(verifier.verify_claims(|c| c["nbf"] = json!(NOW + 6)).await, "not valid yet");
}

#[tokio::test]
async fn a_cached_token_is_refused_after_its_expiry_and_after_its_key_is_removed() {
    let verifier = Verifier::with(Duration::ZERO, None);
    let token = verifier.key.sign(&valid_claims());
    verifier.verify(&token).await.unwrap();
    let headers = authorization(&format!("Bearer {token}"));
    check_refused(verifier.tokens.verify(&headers, None, NOW + 605).await, "expired");

    let second = SigningKey::generate("second");
    verifier.publish(Some(jwks(&[&second])));
    verifier.verify(&second.sign(&valid_claims())).await.unwrap();
    check_refused(verifier.verify(&token).await, "signed with an unknown key");
}

#[tokio::test]
async fn an_id_token_is_refused() {
    let result = Verifier::new().verify_claims(make_id_token).await;
    check_refused(result, "not an access token of this client");
}

#[tokio::test]
async fn an_unsigned_token_and_a_token_signed_with_the_public_key_are_refused() {
    let verifier = Verifier::new();
    let payload = URL_SAFE_NO_PAD.encode(valid_claims().to_string());
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"first"}"#);
    check_refused(verifier.verify(&format!("{header}.{payload}.")).await, "not a token");

    let public = EncodingKey::from_secret(jwks(&[&verifier.key]).as_bytes());
    let header = Header { kid: Some("first".into()), ..Header::new(Algorithm::HS256) };
    let token = encode(&header, &valid_claims(), &public).unwrap();
    let not_set =
        "X-authentik-jwt and HS256 tokens come from proxy providers, and API_PROXY_SECRET is not set";
    check_refused(verifier.verify(&token).await, not_set);
}

#[tokio::test]
async fn a_token_with_modified_claims_is_refused() {
    let verifier = Verifier::new();
    let token = verifier.key.sign(&valid_claims());
    let mut parts: Vec<_> = token.split('.').collect();
    let other = URL_SAFE_NO_PAD.encode(claims(ISSUER, "somebody-else", NOW, &[]).to_string());
    parts[1] = &other;
    check_refused(verifier.verify(&parts.join(".")).await, "the signature is wrong");
}

#[tokio::test]
async fn malformed_tokens_are_refused() {
    let verifier = Verifier::new();
    for text in ["", "a", "a.b.c", "!!!.???.***", "eyJhbGciOiJSUzI1NiJ9"] {
        assert!(matches!(verifier.verify(text).await, Err(TokenError::Invalid(_))), "{text:?}");
    }
    check_refused(verifier.verify(&"x".repeat(16 * 1024 + 1)).await, "larger than 16 KiB");
    let critical =
        Header { kid: Some("first".into()), crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::RS256) };
    let token = encode(&critical, &valid_claims(), &verifier.key.key).unwrap();
    check_refused(verifier.verify(&token).await, "has critical headers");
    let nameless = encode(&Header::new(Algorithm::RS256), &valid_claims(), &verifier.key.key).unwrap();
    check_refused(verifier.verify(&nameless).await, "has no key id");
}

#[tokio::test]
async fn a_token_must_come_in_exactly_one_authorization_header() {
    let verifier = Verifier::new();
    let mut headers = HeaderMap::new();
    assert_eq!(verifier.tokens.verify(&headers, None, NOW).await, Err(TokenError::Missing));
    headers.insert("authorization", HeaderValue::from_static("Basic YTpi"));
    assert_eq!(verifier.tokens.verify(&headers, None, NOW).await, Err(TokenError::Missing));
    headers.append("authorization", HeaderValue::from_static("Bearer x"));
    assert!(matches!(verifier.tokens.verify(&headers, None, NOW).await, Err(TokenError::Invalid(_))));
}

#[tokio::test]
async fn concurrent_requests_with_an_unknown_key_share_one_fetch_per_cooldown() {
    let verifier = Verifier::new();
    let stranger = SigningKey::generate("stranger");
    let token = stranger.sign(&valid_claims());
    let results = futures_util::future::join_all((0..8).map(|_| verifier.verify(&token))).await;
    assert!(results.iter().all(|result| result == &Err(TokenError::Invalid("signed with an unknown key"))));
    check_refused(verifier.verify(&token).await, "signed with an unknown key");
    assert_eq!(verifier.n_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_may_be_newer_than_the_last_fetch_is_unavailable_not_unknown() {
    let verifier = Verifier::with(COOLDOWN, None);
    let (stranger, second) = (SigningKey::generate("stranger"), SigningKey::generate("second"));
    check_refused(verifier.verify(&stranger.sign(&valid_claims())).await, "signed with an unknown key");
    verifier.publish(Some(jwks(&[&verifier.key, &second])));
    let token = second.sign(&valid_claims());
    assert_eq!(verifier.verify(&token).await, Err(TokenError::Unavailable));
    check_refused(verifier.verify(&stranger.sign(&valid_claims())).await, "signed with an unknown key");
    assert_eq!(verifier.n_requests(), 1);
    tokio::time::advance(COOLDOWN).await;
    verifier.verify(&token).await.unwrap();
    assert_eq!(verifier.n_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn known_keys_are_accepted_during_an_hour_without_authentik() {
    let verifier = Verifier::with(COOLDOWN, None);
    let shutdown = CancellationToken::new();
    tokio::spawn(Arc::clone(verifier.tokens.keys()).keep_fresh(shutdown.clone()));
    verifier.verify_claims(|_| ()).await.unwrap();
    verifier.publish(None);
    for minute in 0..60 {
        tokio::time::sleep(Duration::from_mins(1)).await;
        verifier.verify_claims(|c| c["jti"] = json!(minute)).await.unwrap();
        let unknown = verifier.key.renamed(&format!("unknown-{minute}"));
        assert_eq!(verifier.verify(&unknown.sign(&valid_claims())).await, Err(TokenError::Unavailable));
    }
    shutdown.cancel();
}

#[tokio::test]
async fn without_authentik_known_keys_are_accepted_and_unknown_keys_are_unavailable() {
    let verifier = Verifier::with(Duration::ZERO, None);
    verifier.verify_claims(|_| ()).await.unwrap();
    verifier.publish(None);
    let stranger = SigningKey::generate("stranger");
    assert_eq!(verifier.verify(&stranger.sign(&valid_claims())).await, Err(TokenError::Unavailable));
    verifier.verify_claims(|c| c["jti"] = json!("another one")).await.unwrap();
    verifier.publish(Some(jwks(&[&verifier.key, &stranger])));
    verifier.verify(&stranger.sign(&valid_claims())).await.unwrap();
}

#[tokio::test]
async fn a_failed_fetch_counts_in_the_cooldown() {
    let verifier = Verifier::new();
    verifier.publish(None);
    assert_eq!(verifier.verify_claims(|_| ()).await, Err(TokenError::Unavailable));
    verifier.publish(Some(jwks(&[&verifier.key])));
    assert_eq!(verifier.verify_claims(|_| ()).await, Err(TokenError::Unavailable));
    assert_eq!(verifier.n_requests(), 1);
}

#[tokio::test]
async fn a_key_needs_no_algorithm_and_a_kid_can_be_any_text() {
    let verifier = Verifier::with(Duration::ZERO, None);
    let strange = verifier.key.renamed("../../etc/passwd?a=b");
    let mut keys: Value = serde_json::from_str(&jwks(&[&verifier.key, &strange])).unwrap();
    for key in keys["keys"].as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("alg");
    }
    verifier.publish(Some(keys.to_string()));
    verifier.verify_claims(|_| ()).await.unwrap();
    verifier.verify(&strange.sign(&valid_claims())).await.unwrap();
    let missing = verifier.key.renamed("/etc/passwd");
    check_refused(verifier.verify(&missing.sign(&valid_claims())).await, "signed with an unknown key");
}

#[tokio::test]
async fn without_signing_keys_in_authentik_every_token_is_refused() {
    let verifier = Verifier::new();
    verifier.publish(Some("{}".into()));
    check_refused(verifier.verify_claims(|_| ()).await, "signed with an unknown key");
}

#[tokio::test]
async fn a_recorded_access_token_of_authentik_is_accepted() {
    let recording = testkit::recordings::json("oidc/authorization_code_pkce.json");
    let payload = &recording["access_token_decoded"]["payload"];
    let source = Arc::new(Fake {
        answer: Mutex::new(Some(testkit::recordings::json("oidc/jwks.json").to_string())),
        ..Fake::default()
    });
    let expected = Expected {
        issuer: payload["iss"].as_str().unwrap().to_owned(),
        client_id: payload["azp"].as_str().unwrap().to_owned(),
        accepted: AcceptedTokens::AccessTokens,
    };
    let tokens = Tokens::new(Arc::new(KeyStore::new(source, Duration::ZERO)), expected, None);
    let verify = async |name: &str| {
        let token = recording["token_response"][name].as_str().unwrap();
        let headers = authorization(&format!("bearer {token}"));
        tokens.verify(&headers, None, payload["iat"].as_i64().unwrap()).await
    };
    assert_eq!(verify("access_token").await.unwrap().sub, payload["sub"].as_str().unwrap());
    check_refused(verify("id_token").await, "not an access token of this client");
    // A refresh token is opaque.
    check_refused(verify("refresh_token").await, "not a token");
}
