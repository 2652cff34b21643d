//! Front ends on other origins. poem's own middleware refuses a same-origin POST from an origin that is not
//! listed, which a browser sends as well.

use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Request, Response};

/// The `Origin` of the request, if it is one of the given.
pub fn allowed_origin(request: &Request, origins: &[String]) -> Option<HeaderValue> {
    let origin = request.headers().get(header::ORIGIN)?;
    origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// Whether the browser only asks whether it may ask.
pub fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// It may. Tokens come in a header, so cookies stay away.
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

/// Lets the browser show the answer to the front end.
pub fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("x-request-id, www-authenticate, retry-after, location"),
    );
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}
