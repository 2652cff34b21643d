//! Refusals of the REST API, word for word.

use poem::Response;
use poem::http::{HeaderValue, Method, StatusCode, header};

use crate::call;
use crate::json::{Json, object};

/// Why a request is not answered as asked.
#[derive(Debug)]
pub enum Refusal {
    /// No token. There is no 401 in this API.
    NoCredentials,
    /// A token that is none, or that is for something else.
    BadToken,
    /// A token without the right.
    NoPermission,
    /// A well-formed key of nothing; names the model.
    Unknown(&'static str),
    /// A key that is not even well-formed.
    NotFound,
    /// A page past the end.
    InvalidPage,
    /// Wrong values, by field.
    Invalid(Vec<(String, String)>),
    /// A body that is no JSON object.
    NoJson(String),
    /// A method that the route does not have.
    Method,
}

impl Refusal {
    /// One wrong field.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![(name.to_owned(), message.into())])
    }

    /// The answer to the client.
    pub fn answer(self, method: &Method) -> Response {
        match self {
            Self::NoCredentials => {
                detail(StatusCode::FORBIDDEN, "Authentication credentials were not provided.")
            }
            Self::BadToken => detail(StatusCode::FORBIDDEN, "Token invalid/expired"),
            Self::NoPermission => no_permission(),
            Self::Unknown(model) => {
                detail(StatusCode::NOT_FOUND, &format!("No {model} matches the given query."))
            }
            Self::NotFound => detail(StatusCode::NOT_FOUND, "Not found."),
            Self::InvalidPage => detail(StatusCode::NOT_FOUND, "Invalid page."),
            Self::Invalid(fields) => {
                let one = |message: String| Json::Array(vec![message.into()]);
                let fields = fields.into_iter().map(|(name, message)| (name, one(message))).collect();
                call::json(StatusCode::BAD_REQUEST, &Json::Object(fields))
            }
            Self::NoJson(error) => detail(StatusCode::BAD_REQUEST, &format!("JSON parse error - {error}")),
            Self::Method => {
                detail(StatusCode::METHOD_NOT_ALLOWED, &format!("Method \"{method}\" not allowed."))
            }
        }
    }
}

fn no_permission() -> Response {
    detail(StatusCode::FORBIDDEN, "You do not have permission to perform this action.")
}

fn detail(status: StatusCode, text: &str) -> Response {
    call::json(status, &object([("detail", text.into())]))
}

/// Names the methods of the route.
pub fn with_allow(mut answer: Response, allow: &'static str) -> Response {
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    answer
}

/// What an unknown route answers, and one without its last slash: a page, not JSON.
pub fn page_not_found() -> Response {
    let page = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"UTF-8\"><title>authentik</title></head>\
                <body><h1>Not Found</h1></body></html>\n";
    call::html(StatusCode::NOT_FOUND, page.to_owned())
}

/// The answer of a broken API. 403 and 405 look as recorded; the others as from a proxy in front.
pub fn fault(status: u16) -> Response {
    match StatusCode::from_u16(status) {
        Ok(StatusCode::FORBIDDEN) => with_allow(no_permission(), super::LIST),
        Ok(StatusCode::METHOD_NOT_ALLOWED) => {
            with_allow(call::empty(StatusCode::METHOD_NOT_ALLOWED), super::READ)
        }
        Ok(status) => call::html(status, format!("<h1>{status}</h1>")),
        Err(_) => call::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
