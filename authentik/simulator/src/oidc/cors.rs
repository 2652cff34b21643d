//! Which other origins may read answers: those of the redirect URIs, and no other.

use poem::Response;
use poem::http::{HeaderValue, header};
use reqwest::Url;

use crate::call::Call;
use crate::world::World;

/// Adds the headers for the origin of the request, when it is allowed.
pub fn allow(world: &World, call: &Call, mut answer: Response) -> Response {
    let Some(origin) = call.headers.get(header::ORIGIN) else { return answer };
    if !origin.to_str().is_ok_and(|origin| is_allowed(world, origin)) {
        return answer;
    }
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    if let Some(asked) = call.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        let methods = HeaderValue::from_static("GET, POST, OPTIONS");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    answer
}

/// Whether `origin` is the one of a redirect URI.
pub fn is_allowed(world: &World, origin: &str) -> bool {
    let origins = world.config.redirect_uris.iter().filter_map(|uri| Url::parse(uri).ok());
    origins.into_iter().any(|uri| uri.origin().ascii_serialization() == origin)
}
