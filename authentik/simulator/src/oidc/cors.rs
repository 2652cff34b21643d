//! CORS: only the origins of the redirect URIs may read responses.

use poem::Response;
use poem::http::{HeaderValue, header};
use reqwest::Url;

use crate::call::Call;
use crate::world::World;

/// Adds the CORS headers if the origin of the request is allowed.
pub fn add_headers(world: &World, call: &Call, mut response: Response) -> Response {
    let Some(origin) = call.headers.get(header::ORIGIN) else { return response };
    if !origin.to_str().is_ok_and(|origin| is_allowed(world, origin)) {
        return response;
    }
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    if let Some(requested) = call.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
        let methods = HeaderValue::from_static("GET, POST, OPTIONS");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    response
}

/// Whether `origin` is the origin of a redirect URI.
fn is_allowed(world: &World, origin: &str) -> bool {
    let origins = world.config.redirect_uris.iter().filter_map(|uri| Url::parse(uri).ok());
    origins.into_iter().any(|uri| uri.origin().ascii_serialization() == origin)
}
