//! Error answers, and which one each error of the lower modules becomes.

use std::time::Duration;

use domain::command::{Failure, FailureKind};
use poem::http::{StatusCode, header};
use runtime::problem::Problem;
use store::publish::PublishError;

use crate::state::cursor::CursorError;
use crate::state::people::{Forbidden, Revoked};
use crate::token::TokenError;

/// An error answer of a route.
#[derive(Debug)]
pub struct Refusal(Problem);

/// The result of handling a request.
pub type Answer<T> = Result<T, Refusal>;

impl From<Refusal> for poem::Error {
    fn from(refusal: Refusal) -> Self {
        refusal.0.into()
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Missing => Self::unauthorized("Bearer", error.to_string()),
            TokenError::Invalid(reason) => Self::invalid_token(reason),
            TokenError::Unavailable => Self::unavailable(error.to_string()),
        }
    }
}

impl From<Revoked> for Refusal {
    fn from(revoked: Revoked) -> Self {
        Self::invalid_token(revoked.0)
    }
}

impl From<Forbidden> for Refusal {
    fn from(error: Forbidden) -> Self {
        Self::forbidden(&error.to_string())
    }
}

impl From<CursorError> for Refusal {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Gone(_) => {
                let detail = format!("{error}: read the state again, and continue from its as_of");
                Self(Problem::new(StatusCode::GONE, "Cursor gone", detail))
            }
            CursorError::Unavailable(cause) => Self::nats_unavailable(&cause),
        }
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        tracing::warn!("cannot store a hint: {error}");
        Self::unavailable("the request cannot be stored; retry later")
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::NotFound => Self::not_found(failure.detail),
            FailureKind::Conflict => Self(Problem::new(StatusCode::CONFLICT, "Conflict", failure.detail)),
            FailureKind::BadRequest => {
                Self(Problem::new(StatusCode::BAD_REQUEST, "Bad request", failure.detail))
            }
            FailureKind::Unavailable => Self::unavailable(failure.detail),
        }
    }
}

impl Refusal {
    fn unauthorized(challenge: &str, detail: String) -> Self {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "Unauthorized", detail);
        Self(problem.with_header(header::WWW_AUTHENTICATE, challenge))
    }

    /// 401: the token is invalid or revoked.
    fn invalid_token(reason: &str) -> Self {
        let challenge = format!(r#"Bearer error="invalid_token", error_description="{reason}""#);
        Self::unauthorized(&challenge, format!("the access token is not accepted: {reason}"))
    }

    /// 403: the caller lacks the right.
    pub fn forbidden(detail: &str) -> Self {
        let problem = Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail);
        Self(problem.with_header(header::WWW_AUTHENTICATE, r#"Bearer error="insufficient_scope""#))
    }

    /// 404: the requested object does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self(Problem::new(StatusCode::NOT_FOUND, "Not found", detail))
    }

    /// 429: the caller must wait before the next change.
    pub fn too_many(wait: Duration) -> Self {
        // Rounded up, because a retry that comes too early is refused again.
        let seconds = wait.as_secs() + 1;
        let detail = format!("too many changes in a short time; try again in {seconds} s");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail);
        Self(problem.with_header(header::RETRY_AFTER, &seconds.to_string()))
    }

    /// 503: something that the request needs is temporarily unavailable.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", detail);
        Self(problem.with_header(header::RETRY_AFTER, "2"))
    }

    /// 503: NATS did not answer. Logs the cause.
    pub fn nats_unavailable(cause: &anyhow::Error) -> Self {
        tracing::warn!("cannot read from NATS: {cause:#}");
        Self::unavailable("the event log cannot be read; retry later")
    }
}

/// 400 that names the parameter.
pub fn bad_parameter(name: &str, reason: impl std::fmt::Display) -> Refusal {
    let detail = format!("parameter `{name}`: {reason}");
    Refusal(Problem::new(StatusCode::BAD_REQUEST, "Bad parameter", detail))
}
