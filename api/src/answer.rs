//! Answers as the routes give them: JSON by our own types' schemas, and refusals.

use std::time::Duration;

use poem::http::{StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::Payload;
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use runtime::problem::Problem;
use schemars::JsonSchema;
use serde::Serialize;

use crate::token::TokenError;

/// Name of the schema of error answers.
pub const PROBLEM: &str = "Problem";

/// A JSON answer. Its schema is generated from the type, as the events' are.
pub struct Json<T>(pub T);

impl<T: Serialize + JsonSchema + Send> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(T::schema_name().into_owned())
    }

    fn register(registry: &mut Registry) {
        announce(registry, T::schema_name().into_owned());
    }
}

impl<T: Serialize + Send> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => Response::builder().content_type("application/json").body(body),
            Err(error) => {
                tracing::error!("an answer is no JSON: {error}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

impl<T: Serialize + JsonSchema + Send> ApiResponse for Json<T> {
    fn meta() -> MetaResponses {
        let content = vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() }];
        MetaResponses { responses: vec![response(200, "The answer.", content)] }
    }

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }
}

/// An error answer of a route.
#[derive(Debug)]
pub struct Refusal(Problem);

/// What a route answers.
pub type Answer<T> = Result<T, Refusal>;

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

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

impl Refusal {
    fn unauthorized(challenge: &str, detail: String) -> Self {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "Unauthorized", detail);
        Self(problem.with_header(header::WWW_AUTHENTICATE, challenge))
    }

    /// 401: the token is no good, or no longer.
    pub fn invalid_token(reason: &str) -> Self {
        let challenge = format!(r#"Bearer error="invalid_token", error_description="{reason}""#);
        Self::unauthorized(&challenge, format!("the access token is not accepted: {reason}"))
    }

    /// 403: the caller may not.
    pub fn forbidden(detail: &str) -> Self {
        let problem = Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail);
        Self(problem.with_header(header::WWW_AUTHENTICATE, r#"Bearer error="insufficient_scope""#))
    }

    /// 404: there is nothing of that name.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self(Problem::new(StatusCode::NOT_FOUND, "Not found", detail))
    }

    /// 400: the request is not understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self(Problem::new(StatusCode::BAD_REQUEST, "Bad request", detail))
    }

    /// 409: it cannot be done beside what is being done.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self(Problem::new(StatusCode::CONFLICT, "Conflict", detail))
    }

    /// 429: the caller has no turn left before so long.
    pub fn too_many(wait: Duration) -> Self {
        // A whole second more than not enough.
        let seconds = wait.as_secs() + 1;
        let detail = format!("too many changes in too short a time: try again in {seconds} s");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail);
        Self(problem.with_header(header::RETRY_AFTER, &seconds.to_string()))
    }

    /// 503: something that is needed is away; it will come back.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", detail);
        Self(problem.with_header(header::RETRY_AFTER, "2"))
    }

    /// 503: NATS did not answer.
    pub fn nats_away(error: &anyhow::Error) -> Self {
        tracing::warn!("cannot ask NATS: {error:#}");
        Self::unavailable("the log of events cannot be read now")
    }
}

/// 400 that names the parameter.
pub fn bad_parameter(name: &str, reason: impl std::fmt::Display) -> Refusal {
    Problem::new(StatusCode::BAD_REQUEST, "Bad parameter", format!("parameter `{name}`: {reason}")).into()
}

/// The schema itself is generated by `schemars` and put in its place by `web::openapi`.
pub(crate) fn announce(registry: &mut Registry, name: String) {
    registry.schemas.entry(name).or_insert_with(|| MetaSchema::new("object"));
}

pub(crate) fn response(status: u16, description: &'static str, content: Vec<MetaMediaType>) -> MetaResponse {
    MetaResponse { description, status: Some(status), status_range: None, content, headers: vec![] }
}
