//! CORS, for front ends on other origins. poem's own middleware is not used because it refuses same-origin POST requests:
//! browsers send their origin, which is not in the list.

use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Request, Response};

/// The `Origin` of the request, if the list contains it.
pub fn allowed_origin(request: &Request, origins: &[String]) -> Option<HeaderValue> {
    let origin = request.headers().get(header::ORIGIN)?;
    origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// Whether the request is a CORS preflight.
pub fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to an allowed preflight. Tokens come in a header, so credentials such as cookies are not allowed.
pub fn preflight() -> Response {
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE")
        .header(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, last-event-id, x-request-id",
        )
        .header(header::ACCESS_CONTROL_MAX_AGE, "600")
        .finish()
}

/// Lets scripts of this origin read the answer.
pub fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("x-request-id, www-authenticate, retry-after, location"),
    );
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}
