//! Verification of webhook signatures, as <https://www.standardwebhooks.com> specifies them.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::timestamp::Timestamp;
use poem::http::HeaderMap;
use subtle::ConstantTimeEq;

/// Header with the id of a delivery.
pub(crate) const HEADER_WEBHOOK_ID: &str = "webhook-id";
/// Header with the time of a signature, in seconds since 1970.
pub(crate) const HEADER_WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
const HEADER_WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// Length of 32 bytes in Base64.
const ENCODED_LENGTH: usize = 44;

/// Largest difference between the timestamp of a signature and our clock.
const TOLERANCE_SECONDS: u64 = 5 * 60;

const HEADERS: [&str; 3] = [HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE];

/// Why a webhook is not trusted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// The request has none of the three headers.
    #[error("the webhook is not signed: webhook-id, webhook-timestamp and webhook-signature are missing")]
    Unsigned,
    /// The request has some of the three headers.
    #[error("headers missing or not readable as text: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// The timestamp is not a number.
    #[error("webhook-timestamp is not a number of seconds since 1970")]
    MalformedTimestamp,
    /// The signature is older than the tolerance.
    #[error(
        "webhook-timestamp is more than {TOLERANCE_SECONDS} s in the past; check the clocks of both hosts"
    )]
    TooOld,
    /// The signature is further in the future than the tolerance.
    #[error(
        "webhook-timestamp is more than {TOLERANCE_SECONDS} s in the future; check the clocks of both hosts"
    )]
    TooNew,
    /// The body is not text, which a signature requires.
    #[error("the body is not UTF-8")]
    NotText,
    /// No configured secret produces any of the signatures.
    #[error("webhook-signature does not match this body under any of WEBHOOK_SECRETS")]
    WrongSignature,
}

/// A secret that authentik signs webhooks with. The implementation uses the processor's SHA instructions.
pub(crate) struct Key(hmac::Key);

impl Key {
    /// Reads a secret in Base64, with or without its prefix `whsec_`. `None` if it is not Base64.
    pub(crate) fn parse(secret: &str) -> Option<Self> {
        let bytes = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()?;
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The signature of a webhook in Base64, without its prefix `v1,`.
    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; ENCODED_LENGTH] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        let mut encoded = [0; ENCODED_LENGTH];
        // It fails only if the buffer is too small. Then no signature matches.
        let _ = STANDARD.encode_slice(context.sign(), &mut encoded);
        encoded
    }
}

/// Whether a request claims to be signed: it has at least one of the three headers.
pub(crate) fn is_claimed(headers: &HeaderMap) -> bool {
    HEADERS.iter().any(|name| headers.contains_key(*name))
}

/// Accepts a request if one of its signatures matches the exact bytes of its body under one of the secrets, and
/// its timestamp is within the tolerance around `now`.
pub(crate) fn verify(
    secrets: &[Key],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(), Rejection> {
    if !is_claimed(headers) {
        return Err(Rejection::Unsigned);
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let [Some(id), Some(timestamp), Some(signatures)] = HEADERS.map(text) else {
        return Err(Rejection::Missing(HEADERS.into_iter().filter(|name| text(name).is_none()).collect()));
    };
    let seconds: i64 = timestamp.parse().map_err(|_| Rejection::MalformedTimestamp)?;
    let now = now.unix_seconds();
    if now.abs_diff(seconds) > TOLERANCE_SECONDS {
        return Err(if seconds < now { Rejection::TooOld } else { Rejection::TooNew });
    }
    // The standard defines signatures only for text.
    if std::str::from_utf8(body).is_err() {
        return Err(Rejection::NotText);
    }
    let mut is_genuine = false;
    for secret in secrets {
        let expected = secret.sign(id, timestamp, body);
        for given in signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,")) {
            is_genuine |= bool::from(expected.ct_eq(given.as_bytes()));
        }
    }
    if is_genuine { Ok(()) } else { Err(Rejection::WrongSignature) }
}

#[cfg(test)]
mod tests {
    use standardwebhooks::Webhook;

    use super::*;

    const OLD: &str = "whsec_bGFiLXdlYmhvb2stc2VjcmV0LTAxMjM0NTY3ODlhYmNkZWY=";
    const NEW: &str = "whsec_YW5vdGhlci13ZWJob29rLXNlY3JldC0wMTIzNDU2Nzg5YWI=";
    const ID: &str = "f9fc2ade-fae3-4865-a48c-7fb4d921559e";
    const BODY: &[u8] = b"{\"a\": 1}";
    const NOW: i64 = 1_795_337_559;

    fn headers(timestamp: &str, signatures: &str) -> HeaderMap {
        HEADERS
            .into_iter()
            .zip([ID, timestamp, signatures])
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn signature(secret: &str, timestamp: i64) -> String {
        Webhook::new(secret).unwrap().sign(ID, timestamp, BODY).unwrap()
    }

    fn check(secrets: &[&str], headers: &HeaderMap, body: &[u8]) -> Result<(), Rejection> {
        let secrets: Vec<_> = secrets.iter().map(|secret| Key::parse(secret).unwrap()).collect();
        let now = "2026-11-22T08:52:39Z".parse::<Timestamp>().unwrap();
        assert_eq!(now.unix_seconds(), NOW);
        verify(&secrets, headers, body, now)
    }

    fn check_timestamp(timestamp: i64) -> Result<(), Rejection> {
        check(&[NEW], &headers(&timestamp.to_string(), &signature(NEW, timestamp)), BODY)
    }

    #[test]
    fn during_a_rotation_old_and_new_secret_are_accepted() {
        for secret in [OLD, NEW] {
            assert_eq!(check(&[NEW, OLD], &headers(&NOW.to_string(), &signature(secret, NOW)), BODY), Ok(()));
        }
        let old = headers(&NOW.to_string(), &signature(OLD, NOW));
        assert_eq!(check(&[NEW], &old, BODY), Err(Rejection::WrongSignature));
    }

    #[test]
    fn one_valid_signature_among_several_is_enough() {
        let several = format!("v1a,abc v1,{} v1 {} ,", "A".repeat(43), signature(NEW, NOW));
        assert_eq!(check(&[NEW], &headers(&NOW.to_string(), &several), BODY), Ok(()));
    }

    #[test]
    fn a_signature_is_valid_only_for_the_exact_bytes_and_version() {
        let right = signature(NEW, NOW);
        let now = NOW.to_string();
        assert_eq!(check(&[NEW], &headers(&now, &right), b"{\"a\":1}"), Err(Rejection::WrongSignature));
        let wrong =
            [right.replace("v1,", "v2,"), right.replace("v1,", ""), right[..20].to_owned(), String::new()];
        for wrong in wrong {
            assert_eq!(
                check(&[NEW], &headers(&now, &wrong), BODY),
                Err(Rejection::WrongSignature),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_timestamp_may_differ_from_the_clock_by_five_minutes() {
        assert_eq!(check_timestamp(NOW - 300), Ok(()));
        assert_eq!(check_timestamp(NOW + 300), Ok(()));
        assert_eq!(check_timestamp(NOW - 301), Err(Rejection::TooOld));
        assert_eq!(check_timestamp(NOW + 301), Err(Rejection::TooNew));
        assert_eq!(check_timestamp(i64::MIN), Err(Rejection::TooOld));
        assert_eq!(check_timestamp(i64::MAX), Err(Rejection::TooNew));
    }

    #[test]
    fn a_malformed_timestamp_is_refused() {
        for malformed in ["", "now", "1795337559.5", "2026-11-22T08:52:39Z", "99999999999999999999"] {
            let headers = headers(malformed, &signature(NEW, NOW));
            assert_eq!(check(&[NEW], &headers, BODY), Err(Rejection::MalformedTimestamp), "{malformed}");
        }
    }

    #[test]
    fn missing_headers_are_named() {
        assert_eq!(check(&[NEW], &HeaderMap::new(), BODY), Err(Rejection::Unsigned));
        let mut headers = headers(&NOW.to_string(), &signature(NEW, NOW));
        headers.remove(HEADER_WEBHOOK_ID);
        headers.remove(HEADER_WEBHOOK_TIMESTAMP);
        let rejection = check(&[NEW], &headers, BODY).unwrap_err();
        assert_eq!(rejection, Rejection::Missing(vec![HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP]));
    }

    #[test]
    fn a_header_that_is_not_text_counts_as_missing() {
        let mut headers = headers(&NOW.to_string(), &signature(NEW, NOW));
        headers.insert(HEADER_WEBHOOK_ID, b"\xff".as_slice().try_into().unwrap());
        assert_eq!(check(&[NEW], &headers, BODY), Err(Rejection::Missing(vec![HEADER_WEBHOOK_ID])));
    }

    #[test]
    fn a_body_that_is_not_text_cannot_be_verified() {
        let headers = headers(&NOW.to_string(), &signature(NEW, NOW));
        assert_eq!(check(&[NEW], &headers, b"\"\xff\""), Err(Rejection::NotText));
    }

    #[test]
    fn without_secrets_no_signature_is_valid() {
        let headers = headers(&NOW.to_string(), &signature(NEW, NOW));
        assert_eq!(check(&[], &headers, BODY), Err(Rejection::WrongSignature));
    }
}
