//! Routes declare their possible error answers in their return type, which generates the OpenAPI document.

use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};

use super::json::{PROBLEM, register_placeholder};
use super::refusal::Refusal;

/// The result of a route: `T`, or one of the refusals in the bit set.
pub type RouteResult<T, const REFUSALS: u16> = Result<T, DeclaredRefusal<REFUSALS>>;

pub const BAD_REQUEST: u16 = 1;
pub const UNAUTHORIZED: u16 = 1 << 1;
pub const FORBIDDEN: u16 = 1 << 2;
pub const NOT_FOUND: u16 = 1 << 3;
pub const CONFLICT: u16 = 1 << 4;
pub const GONE: u16 = 1 << 5;
pub const TOO_MANY: u16 = 1 << 6;
pub const UNAVAILABLE: u16 = 1 << 7;

/// Refusals of every route that requires an access token.
pub const CALLER: u16 = UNAUTHORIZED | UNAVAILABLE;
/// Refusals of every route that requires an admin.
pub const ADMIN: u16 = CALLER | FORBIDDEN;

/// A refusal that is one of the declared ones.
#[derive(Debug)]
pub struct DeclaredRefusal<const REFUSALS: u16>(Refusal);

impl<E: Into<Refusal>, const REFUSALS: u16> From<E> for DeclaredRefusal<REFUSALS> {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl<const REFUSALS: u16> From<DeclaredRefusal<REFUSALS>> for poem::Error {
    fn from(declared: DeclaredRefusal<REFUSALS>) -> Self {
        declared.0.into()
    }
}

const RETRY_AFTER: Option<(&str, &str)> = Some(("Retry-After", "Seconds to wait before the next request."));
const CHALLENGE: Option<(&str, &str)> =
    Some(("WWW-Authenticate", "Why the token is not sufficient (RFC 6750)."));

/// A refusal, its status, its meaning, and the name and meaning of its header.
type Description = (u16, u16, &'static str, Option<(&'static str, &'static str)>);

const DESCRIPTIONS: [Description; 8] = [
    (BAD_REQUEST, 400, "A parameter is invalid; the detail names it.", None),
    (UNAUTHORIZED, 401, "The access token is missing or not accepted.", CHALLENGE),
    (FORBIDDEN, 403, "The caller lacks the right to do this.", CHALLENGE),
    (NOT_FOUND, 404, "The requested object does not exist.", None),
    (CONFLICT, 409, "A running operation prevents this one.", None),
    (GONE, 410, "The cursor belongs to another stream, is beyond the last event, or has expired.", None),
    (TOO_MANY, 429, "The caller made too many changes in a short time.", RETRY_AFTER),
    (UNAVAILABLE, 503, "A dependency is unavailable, or the state is stale; see the detail.", RETRY_AFTER),
];

impl<const REFUSALS: u16> ApiResponse for DeclaredRefusal<REFUSALS> {
    fn meta() -> MetaResponses {
        let declared = DESCRIPTIONS.into_iter().filter(|(refusal, ..)| REFUSALS & refusal != 0);
        let responses = declared.map(|(_, status, description, header)| {
            let schema = MetaSchemaRef::Reference(PROBLEM.to_owned());
            let content = vec![MetaMediaType { content_type: "application/problem+json", schema }];
            let headers = header.map(meta_header).into_iter().collect();
            MetaResponse { description, status: Some(status), status_range: None, content, headers }
        });
        MetaResponses { responses: responses.collect() }
    }

    fn register(registry: &mut Registry) {
        register_placeholder(registry, PROBLEM.to_owned());
    }
}

fn meta_header((name, description): (&str, &str)) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
    }
}
