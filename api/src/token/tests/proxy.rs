//! Tokens of a proxy provider, beside those of the client.

use super::super::test_keys::{PROXY_CLIENT_ID, PROXY_SECRET, proxy_claims, sign_with_secret};
use super::*;

const PROXY_ISSUER: &str = "https://auth.example.com/application/o/proxied/";
const UID: &str = "b72513536facc1c6eb3c4d7457424e16612c7c9124164d2dbf65756f8f278e01";
const PROXY: &str = "172.18.0.5";
const STRANGER: &str = "172.18.0.6";
const UNTRUSTED: &str =
    "X-authentik-jwt and HS256 are taken from API_TRUSTED_PROXIES alone, and this address is none of them";

type Verified = Result<Arc<Claims>, TokenError>;

fn world() -> World {
    let world = World::new();
    let verifier = ProxyVerifier::new(ProxyProvider {
        secret: PROXY_SECRET.parse().unwrap(),
        issuer: PROXY_ISSUER.to_owned(),
        audience: PROXY_CLIENT_ID.to_owned(),
        trusted: vec![PROXY.parse().unwrap()],
    });
    World { tokens: Tokens { proxy: Some(verifier), ..world.tokens }, ..world }
}

fn proxied() -> Value {
    proxy_claims(PROXY_ISSUER, UID, NOW, &["navy"])
}

fn signed(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = proxied();
    change(&mut claims);
    sign_with_secret(&claims, PROXY_SECRET.as_bytes())
}

impl World {
    async fn verify_from(&self, peer: &str, headers: &[(&'static str, &str)]) -> Verified {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        self.tokens.verify(&map, Some(peer.parse().unwrap()), NOW).await
    }

    async fn passed_on(&self, token: &str) -> Verified {
        self.verify_from(PROXY, &[("x-authentik-jwt", token)]).await
    }
}

#[tokio::test]
async fn a_proxy_providers_token_is_good_in_either_header() {
    let world = world();
    let token = signed(|_| ());
    let passed_on = world.passed_on(&token).await.unwrap();
    assert_eq!((passed_on.sub.as_str(), passed_on.uuid()), (UID, None));
    assert_eq!(passed_on.groups, ["navy"]);
    let bearer = format!("Bearer {token}");
    assert_eq!(world.verify_from(PROXY, &[("authorization", &bearer)]).await.unwrap(), passed_on);
    // The outpost may have Basic authentication passed on as well.
    let both = [("authorization", "Basic YTpi"), ("x-authentik-jwt", &token)];
    assert_eq!(world.verify_from(PROXY, &both).await.unwrap(), passed_on);
    assert_eq!(world.n_requests(), 0, "the JWKS has nothing to say of it");
}

#[tokio::test]
async fn from_elsewhere_it_is_refused_also_when_it_was_good_before() {
    let world = world();
    let token = signed(|_| ());
    let bearer = format!("Bearer {token}");
    world.passed_on(&token).await.unwrap();
    check_refused(world.verify_from(STRANGER, &[("x-authentik-jwt", &token)]).await, UNTRUSTED);
    check_refused(world.verify_from(STRANGER, &[("authorization", &bearer)]).await, UNTRUSTED);
    // Whoever says so in a header is no proxy of ours.
    let claimed = [("x-authentik-jwt", token.as_str()), ("x-forwarded-for", PROXY)];
    check_refused(world.verify_from(STRANGER, &claimed).await, UNTRUSTED);
    // An address that is not known is nobody's.
    check_refused(world.verify(&token).await, UNTRUSTED);
}

#[tokio::test]
async fn a_header_of_an_untrusted_address_is_ignored_beside_a_good_token() {
    let world = world();
    let (own, other) = (format!("Bearer {}", world.key.sign(&good())), signed(|_| ()));
    for peer in [STRANGER, PROXY] {
        let both = [("authorization", own.as_str()), ("x-authentik-jwt", &other)];
        assert_eq!(world.verify_from(peer, &both).await.unwrap().sub, good()["sub"], "{peer}");
    }
}

#[tokio::test]
async fn a_proxys_token_for_somebody_or_something_else_is_refused() {
    let world = world();
    check_refused(world.passed_on(&signed(|c| c["iss"] = json!(ISSUER))).await, "of another issuer");
    check_refused(world.passed_on(&signed(|c| c["aud"] = json!(CLIENT_ID))).await, "for another audience");
    let other_client = signed(|c| c["azp"] = json!(CLIENT_ID));
    check_refused(world.passed_on(&other_client).await, "not an access token of this client");
    let other_secret = sign_with_secret(&proxied(), b"a client secret of some other provider in authentik");
    check_refused(world.passed_on(&other_secret).await, "the signature is wrong");
    for claim in ["iss", "aud", "exp", "sub"] {
        let without = signed(|claims| drop(claims.as_object_mut().unwrap().remove(claim)));
        assert!(matches!(world.passed_on(&without).await, Err(TokenError::Invalid(_))), "{claim}");
    }
}

#[tokio::test]
async fn a_proxys_token_counts_only_in_its_time_give_or_take_five_seconds() {
    let world = world();
    assert!(world.passed_on(&signed(|c| c["exp"] = json!(NOW - 4))).await.is_ok());
    check_refused(world.passed_on(&signed(|c| c["exp"] = json!(NOW - 5))).await, "expired");
    assert!(world.passed_on(&signed(|c| c["nbf"] = json!(NOW + 5))).await.is_ok());
    check_refused(world.passed_on(&signed(|c| c["nbf"] = json!(NOW + 6))).await, "not valid yet");
    let undated = signed(|claims| drop(claims.as_object_mut().unwrap().remove("iat")));
    check_refused(world.passed_on(&undated).await, "not a token");
}

#[tokio::test]
async fn an_id_token_that_an_outpost_passes_on_is_good() {
    let id_token = signed(|claims| {
        let claims = claims.as_object_mut().unwrap();
        claims.remove("azp");
        claims.remove("scope");
    });
    assert_eq!(world().passed_on(&id_token).await.unwrap().sub, UID);
}

#[tokio::test]
async fn each_key_is_good_for_its_own_kind_of_signature_alone() {
    let world = world();
    let public_key = world.key.jwk().to_string();
    let modulus = world.key.jwk()["n"].as_str().unwrap().to_owned();
    for public in [public_key, modulus, jwks(&[&world.key])] {
        let forged = sign_with_secret(&proxied(), public.as_bytes());
        check_refused(world.passed_on(&forged).await, "the signature is wrong");
        // Nor is it good for a token that looks like the client's.
        let forged = sign_with_secret(&good(), public.as_bytes());
        assert!(matches!(world.passed_on(&forged).await, Err(TokenError::Invalid(_))));
    }
    // A key of the JWKS does not sign for the proxy provider, nor the client secret for the client.
    check_refused(world.passed_on(&world.key.sign(&proxied())).await, "of another issuer");
    let client = sign_with_secret(&good(), PROXY_SECRET.as_bytes());
    assert!(matches!(world.passed_on(&client).await, Err(TokenError::Invalid(_))));
    let secret = EncodingKey::from_secret(PROXY_SECRET.as_bytes());
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let token = encode(&Header::new(algorithm), &proxied(), &secret).unwrap();
        check_refused(world.passed_on(&token).await, "signed in a way that is not accepted");
    }
}

#[tokio::test]
async fn a_proxys_token_that_says_too_much_or_nothing_is_refused() {
    let world = world();
    let critical = Header { crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::HS256) };
    let token = encode(&critical, &proxied(), &EncodingKey::from_secret(PROXY_SECRET.as_bytes())).unwrap();
    check_refused(world.passed_on(&token).await, "has critical headers");
    check_refused(world.passed_on(&"x".repeat(16 * 1024 + 1)).await, "larger than 16 KiB");
    check_refused(world.passed_on("x").await, "not a token");
    assert_eq!(world.passed_on("").await, Err(TokenError::Missing));
    let token = signed(|_| ());
    let twice = [("x-authentik-jwt", token.as_str()), ("x-authentik-jwt", "")];
    check_refused(world.verify_from(PROXY, &twice).await, "more than one X-authentik-jwt header");
    let plain =
        [("x-authentik-username", "akadmin"), ("x-authentik-uid", UID), ("x-authentik-groups", "navy")];
    assert_eq!(world.verify_from(PROXY, &plain).await, Err(TokenError::Missing));
}
