//! A completely read HTTP request, and helpers that build responses.

use bytes::Bytes;
use poem::Response;
use poem::http::{HeaderMap, Method, StatusCode, header};
use reqwest::Url;
use serde::Serialize;

use crate::json::{Json, object};
use crate::store::event::Origin;

/// A request. Handlers are plain functions from a call to a response.
pub struct Call {
    pub method: Method,
    /// The path as sent, not decoded.
    pub path: String,
    /// The decoded query parameters in their order; a name can occur several times.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The `x-authentik-id` of the response.
    pub request_id: String,
    /// The IP address of the client.
    pub client_ip: Option<String>,
    /// Scheme and host, without a trailing slash.
    pub base_url: String,
}

impl Call {
    /// The first value of a query parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        first(&self.query, name)
    }

    /// All values of a query parameter.
    pub fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a header, if it is valid text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The token of an `Authorization: Bearer` header.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ").map(str::trim)
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.header("cookie")?.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The fields of a submitted form.
    pub fn form(&self) -> Vec<(String, String)> {
        decode(&String::from_utf8_lossy(&self.body))
    }

    /// This request as the origin of events.
    pub fn origin(&self, actor: Json) -> Origin {
        let args = self.query.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        Origin {
            actor,
            client_ip: self.client_ip.clone(),
            path: self.path.clone(),
            method: self.method.to_string(),
            args: Json::Object(args),
            user_agent: self.header("user-agent").unwrap_or_default().to_owned(),
            request_id: self.request_id.clone(),
        }
    }

    /// A step of a flow as the origin of events. authentik's pages post to its flow executor, so the events
    /// name the path of the executor.
    pub fn flow_origin(&self, flow: &str, method: &str, actor: Json) -> Origin {
        Origin {
            path: format!("/api/v3/flows/executor/{flow}/"),
            method: method.to_owned(),
            args: object([]),
            ..self.origin(actor)
        }
    }
}

/// The first value of a name.
pub fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Decodes a query string or a form body.
pub fn decode(encoded: &str) -> Vec<(String, String)> {
    let Ok(mut url) = Url::parse("http://localhost/") else { return vec![] };
    url.set_query(Some(encoded));
    url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}

/// Encodes a query string.
pub fn encode(pairs: &[(&str, &str)]) -> String {
    Url::parse_with_params("http://localhost/", pairs)
        .ok()
        .and_then(|url| url.query().map(str::to_owned))
        .unwrap_or_default()
}

/// A JSON response, without spaces like authentik's.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => Response::builder().status(status).content_type("application/json").body(bytes),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// An HTML response.
pub fn html(status: StatusCode, body: String) -> Response {
    Response::builder().status(status).content_type("text/html; charset=utf-8").body(body)
}

/// A response without a body.
pub fn empty(status: StatusCode) -> Response {
    html(status, String::new())
}

/// A redirect.
pub fn redirect(location: &str) -> Response {
    Response::builder().status(StatusCode::FOUND).header(header::LOCATION, location).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded() {
        let fields = decode("username=a%26b+c&password=p%C3%B6%23");
        assert_eq!(first(&fields, "username"), Some("a&b c"));
        assert_eq!(first(&fields, "password"), Some("pö#"));
    }
}
