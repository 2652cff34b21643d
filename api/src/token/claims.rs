//! The claims of a token, and the checks that do not need its key.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use uuid::Uuid;

use super::error::TokenError;

/// Tolerated difference between authentik's clock and ours, in seconds.
const LEEWAY: i64 = 5;

/// Refusal of an algorithm that neither authentik's keys nor its proxy providers use.
pub const UNACCEPTED_ALGORITHM: &str = "signed with an unsupported algorithm";

/// What every token must claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// `iss`, including the trailing slash.
    pub issuer: String,
    /// `aud` and `azp`.
    pub client_id: String,
    /// Which of the provider's tokens are accepted.
    pub accepted: AcceptedTokens,
}

/// Which tokens of a provider are accepted. Only access tokens have the claims `azp` and `scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptedTokens {
    /// Access tokens only.
    AccessTokens,
    /// Access tokens and ID tokens.
    AllTokens,
}

/// The claims that the API uses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// The user: their uuid or their hashed id, depending on the provider's subject mode.
    pub sub: String,
    /// Time of expiry, in seconds since 1970.
    pub exp: i64,
    /// Time of issue, in seconds since 1970.
    pub iat: i64,
    /// Start of validity, in seconds since 1970.
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    preferred_username: Option<String>,
    /// Names of the groups that the user was a direct member of at the time of issue.
    #[serde(default)]
    pub groups: Vec<String>,
}

impl Claims {
    /// Verifies the signature with `key`, and the claims except for their time; see [`Claims::check_time`].
    pub fn decode(
        token: &str,
        expected: &Expected,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Result<Self, TokenError> {
        // Exactly one algorithm: jsonwebtoken refuses every token if the list mixes key families.
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&expected.issuer]);
        validation.set_audience(&[&expected.client_id]);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        // `check_time` checks it, because the current time is an argument here.
        validation.validate_exp = false;
        let claims = decode::<Self>(token, key, &validation).map_err(|error| reason(error.kind()))?.claims;
        let is_accepted = match (&claims.azp, expected.accepted) {
            (Some(azp), AcceptedTokens::AccessTokens) => *azp == expected.client_id && claims.scope.is_some(),
            (Some(azp), AcceptedTokens::AllTokens) => *azp == expected.client_id,
            (None, AcceptedTokens::AccessTokens) => false,
            (None, AcceptedTokens::AllTokens) => true,
        };
        if is_accepted { Ok(claims) } else { Err(TokenError::Invalid("not an access token of this client")) }
    }

    /// Checks that the token is valid at `now`, in seconds since 1970.
    pub fn check_time(&self, now: i64) -> Result<(), TokenError> {
        if now >= self.exp.saturating_add(LEEWAY) {
            return Err(TokenError::Invalid("expired"));
        }
        if self.nbf.is_some_and(|nbf| nbf > now.saturating_add(LEEWAY)) {
            return Err(TokenError::Invalid("not valid yet"));
        }
        Ok(())
    }

    /// The username at the time of issue. It identifies nobody: usernames can change hands.
    pub fn username(&self) -> Option<&str> {
        self.preferred_username.as_deref()
    }

    /// The user's uuid, if `sub` is one (authentik's `sub_mode: user_uuid`).
    pub fn uuid(&self) -> Option<Uuid> {
        self.sub.parse().ok()
    }
}

/// The unverified header of a token.
pub struct Header {
    pub algorithm: Algorithm,
    pub kid: Option<String>,
}

/// Reads the header of a token without verifying anything.
pub fn header(token: &str) -> Result<Header, TokenError> {
    let header = decode_header(token).map_err(|error| reason(error.kind()))?;
    // RFC 7515, 4.1.11: a token with a critical header that the recipient does not support must be refused. We support none.
    if header.crit.is_some() || header.extras.inner().contains_key("crit") {
        return Err(TokenError::Invalid("has critical headers"));
    }
    Ok(Header { algorithm: header.alg, kid: header.kid })
}

fn reason(error: &ErrorKind) -> TokenError {
    TokenError::Invalid(match error {
        ErrorKind::InvalidSignature => "the signature is wrong",
        ErrorKind::InvalidIssuer => "from another issuer",
        ErrorKind::InvalidAudience => "for another audience",
        ErrorKind::MissingRequiredClaim(_) => "lacks a required claim",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => UNACCEPTED_ALGORITHM,
        // `ErrorKind` is non-exhaustive. Every other kind means that the text cannot be parsed as a token.
        _ => "not a token",
    })
}
