//! Responses of the REST API. The error texts are authentik's own.

use poem::Response;
use poem::http::{HeaderValue, Method, StatusCode, header};

use crate::call;
use crate::json::{Json, object};

/// A response, or the reason for an error response.
pub type RestResult = Result<Response, Refusal>;

/// The `Allow` header of a list.
pub const LIST: &str = "GET, POST, HEAD, OPTIONS";
/// The `Allow` header of one object. The simulator does not support PUT.
pub const DETAIL: &str = "GET, PUT, PATCH, DELETE, HEAD, OPTIONS";
/// The `Allow` header of a read-only route.
pub const READ: &str = "GET, HEAD, OPTIONS";
/// The `Allow` header of an action.
pub const ACTION: &str = "POST, OPTIONS";

/// The reason for an error response. The REST API has no 401: it answers 403 instead.
#[derive(Debug)]
pub enum Refusal {
    /// The request has no token.
    NoCredentials,
    /// The token is unknown, or is not a token of the REST API.
    InvalidToken,
    /// The owner of the token lacks the permission.
    NoPermission,
    /// No object of this model has the given key.
    Unknown(&'static str),
    /// The key is malformed.
    NotFound,
    /// The page number is past the last page.
    InvalidPage,
    /// The wrong fields, each with a message.
    InvalidFields(Vec<(String, String)>),
    /// The body is not JSON.
    InvalidJson(String),
    /// The route does not support the method.
    MethodNotAllowed,
}

impl Refusal {
    /// One wrong field.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        Self::InvalidFields(vec![(name.to_owned(), message.into())])
    }

    /// The error response to a request with this method.
    pub fn response(self, method: &Method) -> Response {
        let (status, text) = match self {
            Self::NoCredentials => {
                (StatusCode::FORBIDDEN, "Authentication credentials were not provided.".to_owned())
            }
            Self::InvalidToken => (StatusCode::FORBIDDEN, "Token invalid/expired".to_owned()),
            Self::NoPermission => return no_permission(),
            Self::Unknown(model) => (StatusCode::NOT_FOUND, format!("No {model} matches the given query.")),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found.".to_owned()),
            Self::InvalidPage => (StatusCode::NOT_FOUND, "Invalid page.".to_owned()),
            Self::InvalidFields(fields) => {
                let list = |message: String| Json::Array(vec![message.into()]);
                let fields = fields.into_iter().map(|(name, message)| (name, list(message))).collect();
                return call::json(StatusCode::BAD_REQUEST, &Json::Object(fields));
            }
            Self::InvalidJson(error) => (StatusCode::BAD_REQUEST, format!("JSON parse error - {error}")),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, format!("Method \"{method}\" not allowed."))
            }
        };
        detail(status, &text)
    }
}

fn no_permission() -> Response {
    detail(StatusCode::FORBIDDEN, "You do not have permission to perform this action.")
}

fn detail(status: StatusCode, text: &str) -> Response {
    call::json(status, &object([("detail", text.into())]))
}

/// `204 No Content`.
pub fn no_content() -> Response {
    call::empty(StatusCode::NO_CONTENT)
}

/// Adds the `Allow` header.
pub fn with_allow(mut response: Response, allow: &'static str) -> Response {
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// The HTML page for an unknown route, and for a route without its trailing slash.
pub fn page_not_found() -> Response {
    let page = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"UTF-8\"><title>authentik</title></head>\
                <body><h1>Not Found</h1></body></html>\n";
    call::html(StatusCode::NOT_FOUND, page.to_owned())
}

/// The response for the fault `rest_status`: 403 and 405 as recorded, otherwise a reverse proxy's page.
pub fn fault(status: u16) -> Response {
    match StatusCode::from_u16(status) {
        Ok(StatusCode::FORBIDDEN) => with_allow(no_permission(), LIST),
        Ok(StatusCode::METHOD_NOT_ALLOWED) => unhandled_exception(),
        Ok(status) => call::html(status, format!("<h1>{status}</h1>")),
        Err(_) => call::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// authentik answers an unhandled exception in any request except GET with an empty 405, because its error
/// view knows only GET.
pub fn unhandled_exception() -> Response {
    with_allow(call::empty(StatusCode::METHOD_NOT_ALLOWED), READ)
}
