//! What every answer gets: an id, security headers, a line in the log, a place in the metrics; and every error
//! becomes a problem document.

use std::time::Instant;

use poem::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, Error, IntoResponse, PathPattern, Request, Response};
use poem_openapi::error::{ParseParamError, ParsePathError};
use runtime::clock;
use runtime::problem::Problem;

use super::cors;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer without a policy of its own is data, never a page.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Answers a request.
pub async fn answer<E: Endpoint<Output = Response>>(
    app: &E,
    request: Request,
    cors_origins: &[String],
) -> Response {
    let begin = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let origin = cors::allowed_origin(&request, cors_origins);
    let is_preflight = cors::is_preflight(&request);
    let mut response = match origin {
        Some(_) if is_preflight => cors::preflight(),
        _ => app.call(request).await.unwrap_or_else(problem),
    };
    if let Some(origin) = origin {
        cors::allow(&mut response, origin);
    }
    harden(&mut response, id.clone());
    note(&method, &id, &response, begin);
    response
}

/// Ours stay as they are; poem's own would be plain text, and tell of paths and internals.
fn problem(error: Error) -> Response {
    let pattern = error.data::<PathPattern>().cloned();
    let status = error.status();
    let mut response = if error.is_from_response() {
        error.into_response()
    } else {
        let detail = if let Some(error) = error.downcast_ref::<ParseParamError>() {
            format!("parameter `{}`: {}", error.name, error.reason)
        } else if let Some(error) = error.downcast_ref::<ParsePathError>() {
            format!("part of the path: {}", error.reason)
        } else if status == StatusCode::NOT_FOUND {
            "there is nothing here; see /api/docs".to_owned()
        } else if status.is_server_error() {
            tracing::error!("a request failed: {error}");
            "the request failed; its id is in the log".to_owned()
        } else {
            "the request is not understood; see /api/docs".to_owned()
        };
        let title = status.canonical_reason().unwrap_or("Error");
        Problem::new(status, title, detail).into_response()
    };
    if let Some(pattern) = pattern {
        response.set_data(pattern);
    }
    response
}

/// The client's id, where it is harmless in a log.
fn request_id(request: &Request) -> HeaderValue {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let given = request.headers().get(REQUEST_ID);
    let given = given.filter(|id| (1..=64).contains(&id.len()) && id.as_bytes().iter().all(is_plain));
    let made = || HeaderValue::from_str(&clock::new_id().simple().to_string());
    given.cloned().map_or_else(made, Ok).unwrap_or(HeaderValue::from_static("none"))
}

fn harden(response: &mut Response, id: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(DATA_POLICY));
    // What one caller may read is for nobody's cache, unless a route says otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The route, never the path: paths and queries hold names.
fn note(method: &Method, id: &HeaderValue, response: &Response, begin: Instant) {
    let pattern = response.data::<PathPattern>().map_or("none", |pattern| &pattern.0);
    let route = pattern.replace("/:param0", "/{id}");
    let status = response.status();
    let id = id.to_str().unwrap_or_default();
    let ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let is_routine = matches!(pattern, "/healthz" | "/readyz" | "/metrics");
    if is_routine {
        tracing::debug!(request.id = id, status = status.as_u16(), ms, "{method} {route} {status}");
    } else {
        tracing::info!(request.id = id, status = status.as_u16(), ms, "{method} {route} {status}");
    }
    metrics::counter!("api_requests_total", "route" => route, "status" => status.as_str().to_owned())
        .increment(1);
}
