//! Gives every answer an id, security headers, a log line and a metric, and makes every error a problem document.

use std::time::Instant;

use poem::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, Error, IntoResponse, PathPattern, Request, Response};
use poem_openapi::error::{ParseParamError, ParsePathError};
use runtime::clock;
use runtime::problem::Problem;

use super::cors;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Content security policy of data. Pages set their own.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Calls the application, and completes its answer.
pub async fn respond<E: Endpoint<Output = Response>>(
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
        _ => app.call(request).await.unwrap_or_else(error_response),
    };
    if let Some(origin) = origin {
        cors::allow(&mut response, origin);
    }
    set_security_headers(&mut response, id.clone());
    log_request(&method, &id, &response, begin);
    response
}

/// Keeps our own problem documents. Replaces poem's errors, which are plain text and reveal internals.
fn error_response(error: Error) -> Response {
    let pattern = error.data::<PathPattern>().cloned();
    let status = error.status();
    let mut response = if error.is_from_response() {
        error.into_response()
    } else {
        let detail = if let Some(error) = error.downcast_ref::<ParseParamError>() {
            format!("parameter `{}`: {}", error.name, error.reason)
        } else if let Some(error) = error.downcast_ref::<ParsePathError>() {
            format!("parameter in the path: {}", error.reason)
        } else if status == StatusCode::NOT_FOUND {
            "this route does not exist; see /api/docs".to_owned()
        } else if status.is_server_error() {
            tracing::error!("a request failed: {error}");
            "the request failed; search the log for its x-request-id".to_owned()
        } else {
            "the request cannot be processed; see /api/docs".to_owned()
        };
        let title = status.canonical_reason().unwrap_or("Error");
        Problem::new(status, title, detail).into_response()
    };
    if let Some(pattern) = pattern {
        response.set_data(pattern);
    }
    response
}

/// The client's request id if it is safe to log, else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let given = request.headers().get(REQUEST_ID);
    let given = given.filter(|id| (1..=64).contains(&id.len()) && id.as_bytes().iter().all(is_safe));
    let generated = || HeaderValue::from_str(&clock::new_id().simple().to_string());
    given.cloned().map_or_else(generated, Ok).unwrap_or(HeaderValue::from_static("none"))
}

fn set_security_headers(response: &mut Response, id: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(DATA_POLICY));
    // Answers depend on the caller's rights, so caches must not store them unless a route allows it.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// Logs and counts a request by its route pattern: paths and queries can contain personal data.
fn log_request(method: &Method, id: &HeaderValue, response: &Response, begin: Instant) {
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
