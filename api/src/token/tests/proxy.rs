//! Tests of a proxy provider's tokens.

use super::super::test_keys::{PROXY_CLIENT_ID, PROXY_SECRET, proxy_claims, sign_with_secret};
use super::*;

const PROXY_ISSUER: &str = "https://auth.example.com/application/o/proxied/";
const UID: &str = "b72513536facc1c6eb3c4d7457424e16612c7c9124164d2dbf65756f8f278e01";
const PROXY: &str = "172.18.0.5";
const STRANGER: &str = "172.18.0.6";
const UNTRUSTED: &str =
    "X-authentik-jwt and HS256 tokens are accepted only from API_TRUSTED_PROXIES, which lacks this address";

type Verified = Result<Arc<Claims>, TokenError>;

fn verifier() -> Verifier {
    let proxy = ProxyVerifier::new(ProxyProvider {
        secret: PROXY_SECRET.parse().unwrap(),
        issuer: PROXY_ISSUER.to_owned(),
        audience: PROXY_CLIENT_ID.to_owned(),
        trusted: vec![PROXY.parse().unwrap()],
    });
    Verifier::with(Duration::from_hours(1), Some(proxy))
}

fn valid_proxy_claims() -> Value {
    proxy_claims(PROXY_ISSUER, UID, NOW, &["navy"])
}

fn signed(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = valid_proxy_claims();
    change(&mut claims);
    sign_with_secret(&claims, PROXY_SECRET.as_bytes())
}

impl Verifier {
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
async fn a_proxy_token_is_accepted_in_either_header() {
    let verifier = verifier();
    let token = signed(|_| ());
    let passed_on = verifier.passed_on(&token).await.unwrap();
    assert_eq!((passed_on.sub.as_str(), passed_on.uuid()), (UID, None));
    assert_eq!(passed_on.groups, ["navy"]);
    let bearer = format!("Bearer {token}");
    assert_eq!(verifier.verify_from(PROXY, &[("authorization", &bearer)]).await.unwrap(), passed_on);
    // An outpost can also pass on Basic credentials.
    let both = [("authorization", "Basic YTpi"), ("x-authentik-jwt", &token)];
    assert_eq!(verifier.verify_from(PROXY, &both).await.unwrap(), passed_on);
    assert_eq!(verifier.n_requests(), 0, "a proxy token needs no JWKS");
}

#[tokio::test]
async fn a_proxy_token_from_an_untrusted_address_is_refused_even_after_it_was_accepted() {
    let verifier = verifier();
    let token = signed(|_| ());
    let bearer = format!("Bearer {token}");
    verifier.passed_on(&token).await.unwrap();
    check_refused(verifier.verify_from(STRANGER, &[("x-authentik-jwt", &token)]).await, UNTRUSTED);
    check_refused(verifier.verify_from(STRANGER, &[("authorization", &bearer)]).await, UNTRUSTED);
    // A header cannot claim the address of a trusted proxy.
    let claimed = [("x-authentik-jwt", token.as_str()), ("x-forwarded-for", PROXY)];
    check_refused(verifier.verify_from(STRANGER, &claimed).await, UNTRUSTED);
    // An unknown address is untrusted.
    check_refused(verifier.verify(&token).await, UNTRUSTED);
}

#[tokio::test]
async fn a_valid_bearer_token_takes_precedence_over_the_proxy_header_from_any_address() {
    let verifier = verifier();
    let (own, other) = (format!("Bearer {}", verifier.key.sign(&valid_claims())), signed(|_| ()));
    for peer in [STRANGER, PROXY] {
        let both = [("authorization", own.as_str()), ("x-authentik-jwt", &other)];
        assert_eq!(verifier.verify_from(peer, &both).await.unwrap().sub, valid_claims()["sub"], "{peer}");
    }
}

#[tokio::test]
async fn a_proxy_token_with_wrong_claims_or_another_secret_is_refused() {
    let verifier = verifier();
    check_refused(verifier.passed_on(&signed(|c| c["iss"] = json!(ISSUER))).await, "from another issuer");
    check_refused(verifier.passed_on(&signed(|c| c["aud"] = json!(CLIENT_ID))).await, "for another audience");
    let other_client = signed(|c| c["azp"] = json!(CLIENT_ID));
    check_refused(verifier.passed_on(&other_client).await, "not an access token of this client");
    let other_secret =
        sign_with_secret(&valid_proxy_claims(), b"a client secret of some other provider in authentik");
    check_refused(verifier.passed_on(&other_secret).await, "the signature is wrong");
    for claim in ["iss", "aud", "exp", "sub"] {
        let without = signed(|claims| drop(claims.as_object_mut().unwrap().remove(claim)));
        assert!(matches!(verifier.passed_on(&without).await, Err(TokenError::Invalid(_))), "{claim}");
    }
}

#[tokio::test]
async fn a_proxy_token_is_accepted_only_in_its_validity_period_with_a_leeway_of_five_seconds() {
    let verifier = verifier();
    assert!(verifier.passed_on(&signed(|c| c["exp"] = json!(NOW - 4))).await.is_ok());
    check_refused(verifier.passed_on(&signed(|c| c["exp"] = json!(NOW - 5))).await, "expired");
    assert!(verifier.passed_on(&signed(|c| c["nbf"] = json!(NOW + 5))).await.is_ok());
    check_refused(verifier.passed_on(&signed(|c| c["nbf"] = json!(NOW + 6))).await, "not valid yet");
    let undated = signed(|claims| drop(claims.as_object_mut().unwrap().remove("iat")));
    check_refused(verifier.passed_on(&undated).await, "not a token");
}

#[tokio::test]
async fn an_id_token_that_an_outpost_passes_on_is_accepted() {
    assert_eq!(verifier().passed_on(&signed(make_id_token)).await.unwrap().sub, UID);
}

#[tokio::test]
async fn each_key_verifies_only_its_own_kind_of_signature() {
    let verifier = verifier();
    let public_key = verifier.key.jwk().to_string();
    let modulus = verifier.key.jwk()["n"].as_str().unwrap().to_owned();
    for public in [public_key, modulus, jwks(&[&verifier.key])] {
        let forged = sign_with_secret(&valid_proxy_claims(), public.as_bytes());
        check_refused(verifier.passed_on(&forged).await, "the signature is wrong");
        // The same holds for a token with the client's claims.
        let forged = sign_with_secret(&valid_claims(), public.as_bytes());
        assert!(matches!(verifier.passed_on(&forged).await, Err(TokenError::Invalid(_))));
    }
    // A JWKS key cannot sign proxy tokens, and the proxy secret cannot sign the client's tokens.
    check_refused(verifier.passed_on(&verifier.key.sign(&valid_proxy_claims())).await, "from another issuer");
    let client = sign_with_secret(&valid_claims(), PROXY_SECRET.as_bytes());
    assert!(matches!(verifier.passed_on(&client).await, Err(TokenError::Invalid(_))));
    let secret = EncodingKey::from_secret(PROXY_SECRET.as_bytes());
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let token = encode(&Header::new(algorithm), &valid_proxy_claims(), &secret).unwrap();
        check_refused(verifier.passed_on(&token).await, "signed with an unsupported algorithm");
    }
}

#[tokio::test]
async fn malformed_proxy_tokens_and_unsigned_proxy_headers_are_refused() {
    let verifier = verifier();
    let critical = Header { crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::HS256) };
    let token =
        encode(&critical, &valid_proxy_claims(), &EncodingKey::from_secret(PROXY_SECRET.as_bytes())).unwrap();
    check_refused(verifier.passed_on(&token).await, "has critical headers");
    check_refused(verifier.passed_on(&"x".repeat(16 * 1024 + 1)).await, "larger than 16 KiB");
    check_refused(verifier.passed_on("x").await, "not a token");
    assert_eq!(verifier.passed_on("").await, Err(TokenError::Missing));
    let token = signed(|_| ());
    let twice = [("x-authentik-jwt", token.as_str()), ("x-authentik-jwt", "")];
    check_refused(verifier.verify_from(PROXY, &twice).await, "more than one X-authentik-jwt header");
    let plain =
        [("x-authentik-username", "akadmin"), ("x-authentik-uid", UID), ("x-authentik-groups", "navy")];
    assert_eq!(verifier.verify_from(PROXY, &plain).await, Err(TokenError::Missing));
}
