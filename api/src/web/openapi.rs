//! The routes under `/api`, with their OpenAPI document and its page.

use bytes::Bytes;
use poem::endpoint::make_sync;
use poem::http::header;
use poem::{Response, Route};
use poem_openapi::OpenApiService;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::answer::PROBLEM;
use crate::routes;

/// The page has its script and its style in itself.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                           img-src data:; font-src data:; connect-src 'self'; frame-ancestors 'none'";

/// Routes, document and page.
pub fn api() -> Route {
    let service = OpenApiService::new(routes::all(), "authentik-events", env!("CARGO_PKG_VERSION"))
        .description("Users, groups and events of authentik, as they were recorded; and events as they come.")
        .url_prefix("/api");
    let generated = service.spec();
    let document = complete(&generated);
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

/// Adds the schemas of our own types, which refer to each other as those of the events do.
fn complete(generated: &str) -> String {
    let mut generator = SchemaSettings::openapi3().into_generator();
    routes::schemas(&mut generator);
    let Ok(mut document) = serde_json::from_str::<Value>(generated) else { return generated.to_owned() };
    document["components"]["schemas"] = Value::Object(generator.take_definitions(true));
    document["components"]["schemas"][PROBLEM] = json!({
        "type": "object",
        "description": "RFC 9457 problem details",
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
