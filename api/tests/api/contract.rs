//! The OpenAPI document: checked in, and what every answer of every test keeps to.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;

use crate::support::World;

/// Nothing where it is not there yet.
static CHECKED_IN: LazyLock<Value> = LazyLock::new(|| {
    let text = std::fs::read(path()).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
});

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json")
}

/// Fails where the document does not know that this route answers so.
pub fn check_declared(method: &Method, path: &str, status: u16) {
    let path = path.split('?').next().unwrap_or_default();
    let method = method.as_str().to_lowercase();
    for (template, operations) in CHECKED_IN["paths"].as_object().into_iter().flatten() {
        if let Some(operation) = operations.get(&method).filter(|_| matches(template, path)) {
            let known = operation["responses"].as_object().unwrap();
            assert!(
                known.contains_key(&status.to_string()),
                "{method} {template} answered {status}, which api/openapi.json does not say"
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
async fn the_openapi_document_is_the_one_that_is_checked_in() {
    let world = World::start().await;
    let served = world.json("/api/openapi.json", None).await;
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        let text = serde_json::to_string_pretty(&served).unwrap() + "\n";
        std::fs::write(path(), text).unwrap();
        return;
    }
    let differs = "if that is meant: UPDATE_OPENAPI=1 cargo test -p api --test api openapi_document";
    assert!(served == *CHECKED_IN, "the API is not what api/openapi.json says; {differs}");
}

#[tokio::test]
async fn every_route_says_what_it_answers_and_how_errors_look() {
    let world = World::start().await;
    let document = world.json("/api/openapi.json", None).await;
    let mut n_routes = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            n_routes += 1;
            let route = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{route} does not say what it does");
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
