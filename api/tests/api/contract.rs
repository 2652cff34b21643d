//! Checks the OpenAPI document: it is checked in, and it declares the status of every answer in every test.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;

use crate::support::World;

/// The checked-in document; null if the file is missing.
static CHECKED_IN: LazyLock<Value> = LazyLock::new(|| {
    let text = std::fs::read(path()).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
});

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json")
}

/// Fails if the document does not declare this status for the route.
pub fn check_declared(method: &Method, path: &str, status: u16) {
    let path = path.split('?').next().unwrap_or_default();
    let method = method.as_str().to_lowercase();
    for (template, operations) in CHECKED_IN["paths"].as_object().into_iter().flatten() {
        if let Some(operation) = operations.get(&method).filter(|_| matches(template, path)) {
            let known = operation["responses"].as_object().unwrap();
            assert!(
                known.contains_key(&status.to_string()),
                "{method} {template} answered {status}, which api/openapi.json does not declare"
            );
        }
    }
}

fn matches(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted.starts_with('{') || wanted == given => {}
            _ => return false,
        }
    }
}

#[tokio::test]
async fn the_served_openapi_document_equals_the_checked_in_one() {
    let world = World::start().await;
    let served = world.json("/api/openapi.json", None).await;
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        let text = serde_json::to_string_pretty(&served).unwrap() + "\n";
        std::fs::write(path(), text).unwrap();
        return;
    }
    let update =
        "if the change is intended, run: UPDATE_OPENAPI=1 cargo test -p api --test api openapi_document";
    assert!(served == *CHECKED_IN, "the API differs from api/openapi.json; {update}");
}

#[tokio::test]
async fn every_route_documents_its_answers_and_its_errors() {
    let world = World::start().await;
    let document = world.json("/api/openapi.json", None).await;
    let mut n_routes = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            n_routes += 1;
            let route = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{route} has no summary");
            let responses = operation["responses"].as_object().unwrap();
            let needs_token = operation["security"].is_array();
            assert_eq!(responses.contains_key("401"), needs_token, "{route}");
            assert_eq!(responses.contains_key("429"), method != "get", "{route}");
            for (status, response) in responses {
                assert!(!response["description"].as_str().unwrap().is_empty(), "{route} {status}");
                if status.as_str() >= "400" {
                    let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                    assert_eq!(schema, "#/components/schemas/Problem", "{route} {status}");
                }
                if matches!(status.as_str(), "429" | "503") {
                    assert!(
                        response["headers"]["RETRY-AFTER"].is_object()
                            || response["headers"]["Retry-After"].is_object(),
                        "{route} {status}"
                    );
                }
            }
        }
    }
    assert!(n_routes > 20, "{n_routes}");
    let feed = &document["paths"]["/api/events/stream"]["get"]["responses"]["200"];
    assert!(feed["content"]["text/event-stream"].is_object());
    for word in ["Last-Event-ID", "progress", "token-expired", "revoked", "retry"] {
        assert!(feed["description"].as_str().unwrap().contains(word), "{word}");
    }
}
