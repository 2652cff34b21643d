//! Which error answers a route can give, as its type: that is what the OpenAPI document says of it.

use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};

use crate::answer::{PROBLEM, Refusal, announce};

/// What a route answers: `T`, or one of these refusals.
pub type Routed<T, const REFUSALS: u16> = Result<T, Refused<REFUSALS>>;

/// 400.
pub const BAD_REQUEST: u16 = 1;
/// 401.
pub const UNAUTHORIZED: u16 = 1 << 1;
/// 403.
pub const FORBIDDEN: u16 = 1 << 2;
/// 404.
pub const NOT_FOUND: u16 = 1 << 3;
/// 409.
pub const CONFLICT: u16 = 1 << 4;
/// 410.
pub const GONE: u16 = 1 << 5;
/// 429.
pub const TOO_MANY: u16 = 1 << 6;
/// 503.
pub const UNAVAILABLE: u16 = 1 << 7;

/// Routes that need an access token.
pub const CALLER: u16 = UNAUTHORIZED | UNAVAILABLE;
/// Routes that need an admin's one.
pub const ADMIN: u16 = CALLER | FORBIDDEN;

/// One of the given refusals.
#[derive(Debug)]
pub struct Refused<const REFUSALS: u16>(Refusal);

impl<const REFUSALS: u16> From<Refusal> for Refused<REFUSALS> {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl<const REFUSALS: u16> From<Refused<REFUSALS>> for poem::Error {
    fn from(refused: Refused<REFUSALS>) -> Self {
        refused.0.into()
    }
}

const RETRY_AFTER: Option<(&str, &str)> = Some(("Retry-After", "Seconds after which to ask again."));
const CHALLENGE: Option<(&str, &str)> =
    Some(("WWW-Authenticate", "What is wrong with the token (RFC 6750)."));

/// A refusal, its status, when it is given, and the header that comes with it.
type Description = (u16, u16, &'static str, Option<(&'static str, &'static str)>);

const DESCRIPTIONS: [Description; 8] = [
    (BAD_REQUEST, 400, "A parameter is wrong; the detail names it.", None),
    (UNAUTHORIZED, 401, "No access token, or one that is not accepted.", CHALLENGE),
    (FORBIDDEN, 403, "The caller may not.", CHALLENGE),
    (NOT_FOUND, 404, "There is nothing of that name.", None),
    (CONFLICT, 409, "It cannot be done beside what is being done.", None),
    (GONE, 410, "The cursor is of another stream, beyond its end, or before what is kept.", None),
    (TOO_MANY, 429, "The caller changes too much in too short a time.", RETRY_AFTER),
    (
        UNAVAILABLE,
        503,
        "Something that is needed is away, or the state here is too old; the detail says which.",
        RETRY_AFTER,
    ),
];

impl<const REFUSALS: u16> ApiResponse for Refused<REFUSALS> {
    fn meta() -> MetaResponses {
        let given = DESCRIPTIONS.into_iter().filter(|(refusal, ..)| REFUSALS & refusal != 0);
        let responses = given.map(|(_, status, description, header)| {
            let schema = MetaSchemaRef::Reference(PROBLEM.to_owned());
            let content = vec![MetaMediaType { content_type: "application/problem+json", schema }];
            let headers = header.map(described).into_iter().collect();
            MetaResponse { description, status: Some(status), status_range: None, content, headers }
        });
        MetaResponses { responses: responses.collect() }
    }

    fn register(registry: &mut Registry) {
        announce(registry, PROBLEM.to_owned());
    }
}

fn described((name, description): (&str, &str)) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
    }
}
