mod proxy;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use poem::http::HeaderValue;
use runtime::CancellationToken;
use serde_json::{Value, json};

use super::keys::KeySource;
use super::test_keys::{CLIENT_ID, SigningKey, claims, jwks};
use super::*;

const ISSUER: &str = "https://auth.example.com/application/o/events/";
const NOW: i64 = 1_795_337_558;

/// A key source that answers what the test wants, and counts.
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
            // Lets the others come while this is under way.
            tokio::task::yield_now().await;
            Ok(answer.ok_or_else(|| anyhow::anyhow!("authentik is away"))?.into_bytes())
        })
    }
}

struct World {
    source: Arc<Fake>,
    tokens: Tokens,
    key: SigningKey,
}

impl World {
    fn with_cooldown(cooldown: Duration) -> Self {
        let key = SigningKey::generate("first");
        let source = Arc::new(Fake { answer: Mutex::new(Some(jwks(&[&key]))), ..Fake::default() });
        let keys = Arc::new(KeyStore::new(Arc::clone(&source), cooldown));
        let expected = Expected {
            issuer: ISSUER.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            accepted: Accepted::AccessToken,
        };
        Self { source, tokens: Tokens::new(keys, expected, None), key }
    }

    fn new() -> Self {
        Self::with_cooldown(Duration::from_hours(1))
    }

    fn publish(&self, answer: Option<String>) {
        *self.source.answer.lock().unwrap() = answer;
    }

    fn n_requests(&self) -> usize {
        self.source.n_requests.load(Ordering::SeqCst)
    }

    async fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        self.tokens.verify(&headers, None, NOW).await
    }

    async fn verify_claims(&self, change: impl FnOnce(&mut Value)) -> Result<Arc<Claims>, TokenError> {
        let mut claims = good();
        change(&mut claims);
        self.verify(&self.key.sign(&claims)).await
    }
}

fn good() -> Value {
    claims(ISSUER, "8c68b6b6-9a66-4e8d-9359-10d7286dcf2d", NOW, &["navy"])
}

#[track_caller]
fn check_refused(result: Result<Arc<Claims>, TokenError>, expected: &'static str) {
    assert_eq!(result.unwrap_err(), TokenError::Invalid(expected));
}

#[tokio::test]
async fn an_access_token_says_who_it_is() {
    let claims = World::new().verify_claims(|_| ()).await.unwrap();
    assert_eq!(claims.uuid().unwrap().to_string(), "8c68b6b6-9a66-4e8d-9359-10d7286dcf2d");
    assert_eq!(claims.groups, ["navy"]);
}

#[tokio::test]
async fn a_token_for_somebody_or_something_else_is_refused() {
    let world = World::new();
    let slashless = ISSUER.trim_end_matches('/');
    check_refused(world.verify_claims(|c| c["iss"] = json!(slashless)).await, "of another issuer");
    check_refused(
        world.verify_claims(|c| c["iss"] = json!("https://evil.example/")).await,
        "of another issuer",
    );
    check_refused(world.verify_claims(|c| c["aud"] = json!("other")).await, "for another audience");
    let no_access_token = "not an access token of this client";
    check_refused(world.verify_claims(|c| c["azp"] = json!("other")).await, no_access_token);
}

#[tokio::test]
async fn a_token_counts_only_in_its_time_give_or_take_five_seconds() {
    let world = World::new();
    assert!(world.verify_claims(|c| c["exp"] = json!(NOW - 4)).await.is_ok());
    check_refused(world.verify_claims(|c| c["exp"] = json!(NOW - 5)).await, "expired");
    assert!(world.verify_claims(|c| c["nbf"] = json!(NOW + 5)).await.is_ok());
    check_refused(world.verify_claims(|c| c["nbf"] = json!(NOW + 6)).await, "not valid yet");
}

#[tokio::test]
async fn a_verified_token_ends_with_its_time_and_with_its_key() {
    let world = World::with_cooldown(Duration::ZERO);
    let token = world.key.sign(&good());
    world.verify(&token).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    check_refused(world.tokens.verify(&headers, None, NOW + 605).await, "expired");

    let second = SigningKey::generate("second");
    world.publish(Some(jwks(&[&second])));
    world.verify(&second.sign(&good())).await.unwrap();
    check_refused(world.verify(&token).await, "signed with an unknown key");
}

#[tokio::test]
async fn an_id_token_is_no_access_token() {
    let world = World::new();
    let result = world.verify_claims(|claims| {
        let claims = claims.as_object_mut().unwrap();
        claims.remove("azp");
        claims.remove("scope");
    });
    check_refused(result.await, "not an access token of this client");
}

#[tokio::test]
async fn a_token_that_is_signed_with_nothing_or_with_the_public_key_is_refused() {
    let world = World::new();
    let payload = URL_SAFE_NO_PAD.encode(good().to_string());
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"first"}"#);
    check_refused(world.verify(&format!("{header}.{payload}.")).await, "not a token");

    let public = EncodingKey::from_secret(jwks(&[&world.key]).as_bytes());
    let header = Header { kid: Some("first".into()), ..Header::new(Algorithm::HS256) };
    let token = encode(&header, &good(), &public).unwrap();
    let not_set = "X-authentik-jwt and HS256 are for proxy providers, and API_PROXY_SECRET is not set";
    check_refused(world.verify(&token).await, not_set);
}

#[tokio::test]
async fn a_changed_token_is_refused() {
    let world = World::new();
    let token = world.key.sign(&good());
    let mut parts: Vec<_> = token.split('.').collect();
    let other = URL_SAFE_NO_PAD.encode(claims(ISSUER, "somebody-else", NOW, &[]).to_string());
    parts[1] = &other;
    check_refused(world.verify(&parts.join(".")).await, "the signature is wrong");
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let world = World::new();
    for text in ["", "a", "a.b.c", "!!!.???.***", "eyJhbGciOiJSUzI1NiJ9"] {
        assert!(matches!(world.verify(text).await, Err(TokenError::Invalid(_))), "{text:?}");
    }
    check_refused(world.verify(&"x".repeat(16 * 1024 + 1)).await, "larger than 16 KiB");
    let critical =
        Header { kid: Some("first".into()), crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::RS256) };
    let token = encode(&critical, &good(), &world.key.key).unwrap();
    check_refused(world.verify(&token).await, "has critical headers");
    let nameless = encode(&Header::new(Algorithm::RS256), &good(), &world.key.key).unwrap();
    check_refused(world.verify(&nameless).await, "names no key");
}

#[tokio::test]
async fn a_token_comes_in_one_header_and_nowhere_else() {
    let world = World::new();
    let mut headers = HeaderMap::new();
    assert_eq!(world.tokens.verify(&headers, None, NOW).await, Err(TokenError::Missing));
    headers.insert("authorization", HeaderValue::from_static("Basic YTpi"));
    assert_eq!(world.tokens.verify(&headers, None, NOW).await, Err(TokenError::Missing));
    headers.append("authorization", HeaderValue::from_static("Bearer x"));
    assert!(matches!(world.tokens.verify(&headers, None, NOW).await, Err(TokenError::Invalid(_))));
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_in_a_while_by_all_together() {
    let world = World::new();
    let stranger = SigningKey::generate("stranger");
    let token = stranger.sign(&good());
    let verified = futures_util::future::join_all((0..8).map(|_| world.verify(&token))).await;
    assert!(verified.iter().all(|result| result == &Err(TokenError::Invalid("signed with an unknown key"))));
    check_refused(world.verify(&token).await, "signed with an unknown key");
    assert_eq!(world.n_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_may_be_newer_than_the_last_answer_is_not_called_unknown() {
    let world = World::with_cooldown(COOLDOWN);
    let (stranger, second) = (SigningKey::generate("stranger"), SigningKey::generate("second"));
    check_refused(world.verify(&stranger.sign(&good())).await, "signed with an unknown key");
    world.publish(Some(jwks(&[&world.key, &second])));
    let token = second.sign(&good());
    assert_eq!(world.verify(&token).await, Err(TokenError::Unavailable));
    check_refused(world.verify(&stranger.sign(&good())).await, "signed with an unknown key");
    assert_eq!(world.n_requests(), 1);
    tokio::time::advance(COOLDOWN).await;
    world.verify(&token).await.unwrap();
    assert_eq!(world.n_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_authentik_changes_nothing_for_known_keys() {
    let world = World::with_cooldown(COOLDOWN);
    let shutdown = CancellationToken::new();
    tokio::spawn(Arc::clone(world.tokens.keys()).keep_fresh(shutdown.clone()));
    world.verify_claims(|_| ()).await.unwrap();
    world.publish(None);
    for minute in 0..60 {
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.verify_claims(|c| c["jti"] = json!(minute)).await.unwrap();
        let unknown = SigningKey { kid: format!("unknown-{minute}"), key: world.key.key.clone() };
        assert_eq!(world.verify(&unknown.sign(&good())).await, Err(TokenError::Unavailable));
    }
    shutdown.cancel();
}

#[tokio::test]
async fn while_authentik_is_away_known_keys_go_on_and_unknown_ones_wait() {
    let world = World::with_cooldown(Duration::ZERO);
    world.verify_claims(|_| ()).await.unwrap();
    world.publish(None);
    let stranger = SigningKey::generate("stranger");
    assert_eq!(world.verify(&stranger.sign(&good())).await, Err(TokenError::Unavailable));
    world.verify_claims(|c| c["jti"] = json!("another one")).await.unwrap();
    world.publish(Some(jwks(&[&world.key, &stranger])));
    world.verify(&stranger.sign(&good())).await.unwrap();
}

#[tokio::test]
async fn a_failure_counts_in_the_cooldown() {
    let world = World::new();
    world.publish(None);
    assert_eq!(world.verify_claims(|_| ()).await, Err(TokenError::Unavailable));
    world.publish(Some(jwks(&[&world.key])));
    assert_eq!(world.verify_claims(|_| ()).await, Err(TokenError::Unavailable));
    assert_eq!(world.n_requests(), 1);
}

#[tokio::test]
async fn a_key_needs_no_algorithm_and_a_kid_is_only_a_name() {
    let world = World::with_cooldown(Duration::ZERO);
    let strange = SigningKey { kid: "../../etc/passwd?a=b".to_owned(), key: world.key.key.clone() };
    let mut keys: Value = serde_json::from_str(&jwks(&[&world.key, &strange])).unwrap();
    for key in keys["keys"].as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("alg");
    }
    world.publish(Some(keys.to_string()));
    world.verify_claims(|_| ()).await.unwrap();
    world.verify(&strange.sign(&good())).await.unwrap();
    let missing = SigningKey { kid: "/etc/passwd".to_owned(), key: world.key.key.clone() };
    check_refused(world.verify(&missing.sign(&good())).await, "signed with an unknown key");
}

#[tokio::test]
async fn without_a_signing_key_in_authentik_no_token_is_accepted() {
    let world = World::new();
    world.publish(Some("{}".into()));
    check_refused(world.verify_claims(|_| ()).await, "signed with an unknown key");
}

#[tokio::test]
async fn a_recorded_token_of_authentik_is_good_in_its_time() {
    let recording = testkit::recordings::json("oidc/authorization_code_pkce.json");
    let payload = &recording["access_token_decoded"]["payload"];
    let source = Arc::new(Fake {
        answer: Mutex::new(Some(testkit::recordings::json("oidc/jwks.json").to_string())),
        ..Fake::default()
    });
    let expected = Expected {
        issuer: payload["iss"].as_str().unwrap().to_owned(),
        client_id: payload["azp"].as_str().unwrap().to_owned(),
        accepted: Accepted::AccessToken,
    };
    let tokens = Tokens::new(Arc::new(KeyStore::new(source, Duration::ZERO)), expected, None);
    let verify = async |name: &str| {
        let token = recording["token_response"][name].as_str().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("bearer {token}").parse().unwrap());
        tokens.verify(&headers, None, payload["iat"].as_i64().unwrap()).await
    };
    assert_eq!(verify("access_token").await.unwrap().sub, payload["sub"].as_str().unwrap());
    check_refused(verify("id_token").await, "not an access token of this client");
    // A refresh token is opaque.
    check_refused(verify("refresh_token").await, "not a token");
}
