//! The OAuth provider that signs the tokens for the API.

use serde_json::Value;

use super::super::finding::Verdict;
use super::super::http::{HttpResponse, HttpResult};

/// Whether the configured issuer equals the issuer in authentik's discovery document.
pub(crate) fn issuer(configured: &str, discovery: &HttpResult) -> Verdict {
    let response = match discovery {
        Ok(response) => response,
        Err(problem) => {
            return Verdict::fault(
                format!("nothing answers at AUTHENTIK_ISSUER ({configured}): {problem}"),
                "set it to the issuer's URL for browsers, and make this URL reachable from this machine",
            );
        }
    };
    match response.body["issuer"].as_str() {
        Some(issuer) if issuer == configured => Verdict::ok(configured),
        Some(issuer) => Verdict::fault(
            format!("AUTHENTIK_ISSUER is {configured}, but tokens will say {issuer}: the API refuses them"),
            format!(
                "set AUTHENTIK_ISSUER={issuer}; if only scheme or host differ, make the proxy in front of authentik \
                 forward Host and X-Forwarded-Proto"
            ),
        ),
        None => Verdict::fault(
            format!(
                "there is no OpenID provider at AUTHENTIK_ISSUER ({configured}): status {}",
                response.status
            ),
            "check that the application exists in authentik and has a provider, and that AUTHENTIK_ISSUER ends in the \
             application's slug, authentik-events in the blueprint, and a slash",
        ),
    }
}

/// Whether the provider signs tokens with a public key that the API accepts.
pub(crate) fn signing_key(jwks: &HttpResult) -> Verdict {
    let keys = match jwks {
        Ok(HttpResponse { status: 200, body, .. }) if body.is_object() => {
            body["keys"].as_array().map(Vec::as_slice).unwrap_or_default()
        }
        other => {
            let problem =
                other.as_ref().map_or_else(Clone::clone, |response| format!("status {}", response.status));
            return Verdict::fault(
                format!("the keys that sign the tokens cannot be read: {problem}"),
                "set AUTHENTIK_JWKS_URL to a URL of the provider's JWKS that this machine reaches",
            );
        }
    };
    let fix = "choose a signing key in the OAuth2 provider in authentik, such as `authentik Self-signed \
               Certificate` (RSA)";
    match (keys, keys.iter().find_map(accepted)) {
        (_, Some(algorithm)) => Verdict::ok(algorithm),
        // As recorded from authentik: without a signing key it signs with HS256 and the client secret.
        ([], None) => Verdict::fault(
            "the provider has no signing key: it signs tokens with HS256, and the API refuses them",
            fix,
        ),
        (_, None) => Verdict::fault("the provider has no key for RS256, ES256 or EdDSA", fix),
    }
}

/// The algorithm of a key that the API accepts.
fn accepted(key: &Value) -> Option<&'static str> {
    let algorithm = match (key["kty"].as_str()?, key["crv"].as_str()) {
        ("RSA", _) => "RS256",
        ("EC", Some("P-256")) => "ES256",
        ("OKP", Some("Ed25519")) => "EdDSA",
        _ => return None,
    };
    let is_named = key["alg"].as_str().is_none_or(|named| named == algorithm);
    (is_named && key["use"] != "enc" && key["kid"].is_string()).then_some(algorithm)
}

/// Whether the provider knows the client, by its response to a token request without a code.
///
/// With a code, authentik would check the redirect URI first and log a configuration error event.
pub(crate) fn client(client_id: &str, response: &HttpResult) -> Verdict {
    let error = response.as_ref().ok().and_then(|response| response.body["error"].as_str());
    match error {
        Some("invalid_grant") => Verdict::ok(client_id),
        Some("invalid_client") => Verdict::fault(
            format!("authentik knows no public client with the id {client_id}: the API refuses all tokens"),
            "set AUTHENTIK_CLIENT_ID to the provider's client id, and the provider's client type to public",
        ),
        Some(_) | None => Verdict::skipped("the token endpoint does not say whether it knows the client"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn response(body: Value) -> HttpResponse {
        HttpResponse { status: 200, body, clock_ahead: None }
    }

    #[test]
    fn the_responses_of_a_real_provider_are_ok() {
        let discovery = testkit::recordings::json("oidc/openid-configuration.json");
        let configured = "http://127.0.0.1:9000/application/o/example/";
        assert!(issuer(configured, &Ok(response(discovery.clone()))).is_ok());
        let problems = issuer(configured.trim_end_matches('/'), &Ok(response(discovery))).problems();
        assert!(problems[0].fix.starts_with(&format!("set AUTHENTIK_ISSUER={configured}")));
        let jwks = testkit::recordings::json("oidc/jwks.json");
        assert_eq!(signing_key(&Ok(response(jwks))), Verdict::ok("RS256"));
    }

    #[test]
    fn keys_that_the_api_does_not_accept_are_reported() {
        let recorded = testkit::recordings::json("oidc/no_signing_key_hs256.json");
        let problems = signing_key(&Ok(response(recorded["jwks"].clone()))).problems();
        assert!(problems[0].what.contains("HS256"), "{problems:?}");
        for key in [
            json!({"kty": "RSA", "alg": "RS512", "kid": "a"}),
            json!({"kty": "RSA", "use": "enc", "kid": "a"}),
            json!({"kty": "EC", "crv": "P-521", "kid": "a"}),
            json!({"kty": "RSA", "alg": "RS256"}),
        ] {
            assert!(!signing_key(&Ok(response(json!({"keys": [key]})))).is_ok(), "{key}");
        }
        assert!(!signing_key(&Ok(response(Value::Null))).is_ok());
    }

    #[test]
    fn known_and_unknown_clients_differ_in_the_recorded_errors() {
        let errors = testkit::recordings::json("oidc/errors.json");
        assert!(client("x", &Ok(response(errors["invalid_code"]["body"].clone()))).is_ok());
        let unknown = client("x", &Ok(response(errors["unknown_client"]["body"].clone())));
        assert!(matches!(unknown, Verdict::Problems(_)));
        let other = client("x", &Ok(response(errors["unsupported_grant"]["body"].clone())));
        assert!(matches!(other, Verdict::Skipped(_)));
    }
}
