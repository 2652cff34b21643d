//! The routes under `/api`, the OpenAPI document, and its documentation page.

use bytes::Bytes;
use poem::endpoint::make_sync;
use poem::http::header;
use poem::{Response, Route};
use poem_openapi::OpenApiService;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::answer::PROBLEM;
use crate::routes;

/// The documentation page's script and style are inline.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                           img-src data:; font-src data:; connect-src 'self'; frame-ancestors 'none'";

/// The routes, the document and the page.
pub fn api() -> Route {
    let service = OpenApiService::new(routes::all(), "authentik-events", env!("CARGO_PKG_VERSION"))
        .description("Recorded users, groups and events of authentik, and a live feed of events.")
        .url_prefix("/api");
    let generated = service.spec();
    let document = add_schemas(&generated);
    let page = Bytes::from(service.swagger_ui_html().replacen(&generated, &document, 1));
    let document = Bytes::from(document);
    let page = make_sync(move |_| {
        Response::builder()
            .content_type("text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, DOCS_POLICY)
            .header(header::CACHE_CONTROL, "no-cache")
            .body(page.clone())
    });
    let document = make_sync(move |_| {
        Response::builder()
            .content_type("application/json")
            .header(header::CACHE_CONTROL, "no-cache")
            .body(document.clone())
    });
    Route::new().at("/openapi.json", document).at("/docs", page).nest("/", service)
}

/// Replaces the placeholders by the schemas of our own types.
fn add_schemas(generated: &str) -> String {
    let mut generator = SchemaSettings::openapi3().into_generator();
    routes::schemas(&mut generator);
    let Ok(mut document) = serde_json::from_str::<Value>(generated) else { return generated.to_owned() };
    document["components"]["schemas"] = Value::Object(generator.take_definitions(true));
    document["components"]["schemas"][PROBLEM] = json!({
        "type": "object",
        "description": "RFC 9457 problem details.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
    });
    document.to_string()
}
