//! HTTP answers: JSON with schemas of our own types, and errors as problem documents.

mod declared;
mod json;
mod refusal;

pub use declared::{ADMIN, BAD_REQUEST, CALLER, CONFLICT, FORBIDDEN, GONE, NOT_FOUND, RouteResult, TOO_MANY};
pub use json::{Json, PROBLEM, response};
pub use refusal::{Answer, Refusal, bad_parameter};
