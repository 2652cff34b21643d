//! What a token claims, and whether it may.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use uuid::Uuid;

use super::TokenError;

/// How far the clocks of authentik and ours may differ, in seconds.
const LEEWAY: i64 = 5;

/// Why a token is refused that is signed neither as authentik's are, nor as its proxy providers' are.
pub const UNACCEPTED_ALGORITHM: &str = "signed in a way that is not accepted";

/// What every token must claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// `iss`, to the last slash.
    pub issuer: String,
    /// `aud` and `azp`.
    pub client_id: String,
    /// Which of the provider's tokens are meant.
    pub accepted: Accepted,
}

/// Kinds of tokens. All have the same audience and key; only an access token says for whom and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Access tokens alone.
    AccessToken,
    /// ID tokens as well.
    AnyToken,
}

/// The claims that matter here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// Whose token it is: the user's uuid, or their hashed id.
    pub sub: String,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// When it begins.
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    scope: Option<String>,
    /// What the user is called; what somebody is called can change.
    #[serde(default)]
    preferred_username: Option<String>,
    /// Names of the groups that the user was a direct member of when it was made.
    #[serde(default)]
    pub groups: Vec<String>,
}

impl Claims {
    /// Reads a token that must be signed with `key`. Whether it is its time, [`Claims::check_time`] says.
    pub fn decode(
        token: &str,
        expected: &Expected,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Result<Self, TokenError> {
        // One algorithm: several of different families make jsonwebtoken refuse every token.
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&expected.issuer]);
        validation.set_audience(&[&expected.client_id]);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        // Time is an argument here: `check_time`.
        validation.validate_exp = false;
        let claims = decode::<Self>(token, key, &validation).map_err(|error| reason(error.kind()))?.claims;
        let is_accepted = match (&claims.azp, expected.accepted) {
            (Some(azp), Accepted::AccessToken) => *azp == expected.client_id && claims.scope.is_some(),
            (Some(azp), Accepted::AnyToken) => *azp == expected.client_id,
            (None, Accepted::AccessToken) => false,
            (None, Accepted::AnyToken) => true,
        };
        if is_accepted { Ok(claims) } else { Err(TokenError::Invalid("not an access token of this client")) }
    }

    /// Whether the token may be used at `now`, in seconds since 1970.
    pub fn check_time(&self, now: i64) -> Result<(), TokenError> {
        if now >= self.exp.saturating_add(LEEWAY) {
            return Err(TokenError::Invalid("expired"));
        }
        if self.nbf.is_some_and(|nbf| nbf > now.saturating_add(LEEWAY)) {
            return Err(TokenError::Invalid("not valid yet"));
        }
        Ok(())
    }

    /// What the user was called when it was made.
    pub fn username(&self) -> Option<&str> {
        self.preferred_username.as_deref()
    }

    /// The user's uuid, where `sub` is one (authentik's `sub_mode: user_uuid`).
    pub fn uuid(&self) -> Option<Uuid> {
        self.sub.parse().ok()
    }
}

/// How a token says that it is signed.
pub struct Header {
    /// With which algorithm.
    pub algorithm: Algorithm,
    /// With which key, by its name.
    pub kid: Option<String>,
}

/// What a token says of itself, before anything of it is verified.
pub fn header(token: &str) -> Result<Header, TokenError> {
    let header = decode_header(token).map_err(|error| reason(error.kind()))?;
    // Whatever it is that must be understood: it is not.
    if header.crit.is_some() || header.extras.inner().contains_key("crit") {
        return Err(TokenError::Invalid("has critical headers"));
    }
    Ok(Header { algorithm: header.alg, kid: header.kid })
}

fn reason(error: &ErrorKind) -> TokenError {
    TokenError::Invalid(match error {
        ErrorKind::InvalidSignature => "the signature is wrong",
        ErrorKind::InvalidIssuer => "of another issuer",
        ErrorKind::InvalidAudience => "for another audience",
        ErrorKind::MissingRequiredClaim(_) => "lacks a required claim",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => UNACCEPTED_ALGORITHM,
        // jsonwebtoken's own list, which it may extend: all of it means that this is no token.
        _ => "not a token",
    })
}
