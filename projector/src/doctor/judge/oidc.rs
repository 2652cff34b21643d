//! The provider that signs the API's tokens.

use serde_json::Value;

use super::super::ask::{Answer, Asked};
use super::super::finding::Verdict;

/// Whether the issuer is what authentik calls itself, by its discovery document.
pub(crate) fn issuer(configured: &str, discovery: &Asked) -> Verdict {
    let answer = match discovery {
        Ok(answer) => answer,
        Err(problem) => {
            return Verdict::fault(
                format!("nothing answers at AUTHENTIK_ISSUER ({configured}): {problem}"),
                "set it to the issuer as people's browsers reach it, and let this machine reach it too",
            );
        }
    };
    match answer.body["issuer"].as_str() {
        Some(issuer) if issuer == configured => Verdict::well(configured),
        Some(issuer) => Verdict::fault(
            format!("AUTHENTIK_ISSUER is {configured}, but tokens will say {issuer}: none is accepted"),
            format!(
                "set AUTHENTIK_ISSUER={issuer}; if only the host is another, have the proxy in front of \
                 authentik hand on Host and X-Forwarded-Proto"
            ),
        ),
        None => Verdict::fault(
            format!(
                "there is no OpenID provider at AUTHENTIK_ISSUER ({configured}): status {}",
                answer.status
            ),
            "its last part is the slug of the application, authentik-events in the blueprint, and ends in a \
             slash: is the application there, and has it the provider?",
        ),
    }
}

/// Whether tokens are signed with a key that anybody can check.
pub(crate) fn signing_key(jwks: &Asked) -> Verdict {
    let keys = match jwks {
        Ok(Answer { status: 200, body, .. }) if body.is_object() => {
            body["keys"].as_array().map(Vec::as_slice).unwrap_or_default()
        }
        other => {
            let problem =
                other.as_ref().map_or_else(Clone::clone, |answer| format!("status {}", answer.status));
            return Verdict::fault(
                format!("the keys of the tokens cannot be read: {problem}"),
                "set AUTHENTIK_JWKS_URL to the provider's JWKS URL as this machine reaches it",
            );
        }
    };
    let fix = "choose a signing key in the OAuth2 provider in authentik, such as `authentik Self-signed \
               Certificate` (RSA)";
    match (keys, keys.iter().find_map(accepted)) {
        (_, Some(algorithm)) => Verdict::well(algorithm),
        // As recorded: then tokens are signed HS256, with the client secret.
        ([], None) => {
            Verdict::fault("the provider has no signing key: tokens are HS256, none is accepted", fix)
        }
        (_, None) => Verdict::fault("no key of the provider is for RS256, ES256 or EdDSA", fix),
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

/// Whether the provider knows the client, by its answer to a request for tokens without a code.
///
/// With a code, authentik would look at the redirect URI first, and note a configuration error in its event log.
pub(crate) fn client(client_id: &str, answer: &Asked) -> Verdict {
    let error = answer.as_ref().ok().and_then(|answer| answer.body["error"].as_str());
    match error {
        Some("invalid_grant") => Verdict::well(client_id),
        Some("invalid_client") => Verdict::fault(
            format!("authentik knows no public client with the id {client_id}: no token is accepted"),
            "set AUTHENTIK_CLIENT_ID to the client id of the provider, whose client type must be public",
        ),
        Some(_) | None => Verdict::skipped("the token endpoint does not say whether it knows the client"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(body: Value) -> Answer {
        Answer { status: 200, body, ahead: None }
    }

    #[test]
    fn what_a_real_provider_answers_is_well() {
        let discovery = testkit::recordings::json("oidc/openid-configuration.json");
        let configured = "http://127.0.0.1:9000/application/o/example/";
        assert!(issuer(configured, &Ok(answer(discovery.clone()))).is_well());
        let Verdict::Wrong(problems) = issuer(configured.trim_end_matches('/'), &Ok(answer(discovery)))
        else {
            panic!("well");
        };
        assert!(problems[0].fix.starts_with(&format!("set AUTHENTIK_ISSUER={configured}")));
        let jwks = testkit::recordings::json("oidc/jwks.json");
        assert_eq!(signing_key(&Ok(answer(jwks))), Verdict::well("RS256"));
    }

    #[test]
    fn keys_that_the_api_would_not_take_are_named() {
        let recorded = testkit::recordings::json("oidc/no_signing_key_hs256.json");
        let Verdict::Wrong(problems) = signing_key(&Ok(answer(recorded["jwks"].clone()))) else {
            panic!("well")
        };
        assert!(problems[0].what.contains("HS256"), "{problems:?}");
        for key in [
            json!({"kty": "RSA", "alg": "RS512", "kid": "a"}),
            json!({"kty": "RSA", "use": "enc", "kid": "a"}),
            json!({"kty": "EC", "crv": "P-521", "kid": "a"}),
            json!({"kty": "RSA", "alg": "RS256"}),
        ] {
            assert!(!signing_key(&Ok(answer(json!({"keys": [key]})))).is_well(), "{key}");
        }
        assert!(!signing_key(&Ok(answer(Value::Null))).is_well());
    }

    #[test]
    fn clients_are_told_apart_by_the_recorded_errors() {
        let errors = testkit::recordings::json("oidc/errors.json");
        assert!(client("x", &Ok(answer(errors["invalid_code"]["body"].clone()))).is_well());
        let unknown = client("x", &Ok(answer(errors["unknown_client"]["body"].clone())));
        assert!(matches!(unknown, Verdict::Wrong(_)));
        let other = client("x", &Ok(answer(errors["unsupported_grant"]["body"].clone())));
        assert!(matches!(other, Verdict::Skipped(_)));
    }
}
