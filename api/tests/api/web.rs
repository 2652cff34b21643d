//! Headers, documentation, the front end, and CORS.

use reqwest::{Client, Method};
use serde_json::Value;

use crate::support::World;

#[tokio::test]
async fn every_answer_has_a_request_id_and_security_headers() {
    let world = World::start().await;
    for path in ["/api/me", "/healthz", "/config.json", "/nothing", "/api/openapi.json", "/api/docs"] {
        let answer = world.get(path, None).await;
        let headers = answer.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert!(
            headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(headers["x-request-id"].len(), 32, "{path}");
    }
    let request = Client::new().get(format!("{}/healthz", world.api.url));
    let answer = request.header("x-request-id", "mine-1").send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "mine-1");
}

#[tokio::test]
async fn the_documentation_contains_every_route_and_every_schema() {
    let world = World::start().await;
    let document = world.json("/api/openapi.json", None).await;
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    for path in ["/api/me", "/api/users/{pk}", "/api/events/stream", "/api/schemas/{type}/v1"] {
        assert!(paths.iter().any(|known| known == path), "{path} is not in {paths:?}");
    }
    let text = document.to_string();
    let references = text.split("#/components/schemas/").skip(1);
    let references: Vec<_> = references.filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 20);
    for name in references {
        assert!(document["components"]["schemas"].get(name).is_some(), "the schema {name} is missing");
    }
    let page = world.get("/api/docs", None).await;
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let page = page.text().await.unwrap();
    assert!(page.contains("UserView") && !page.contains("src=\"http"));
}

#[tokio::test]
async fn the_schema_of_each_event_is_answered_without_a_token() {
    let world = World::start().await;
    for event_type in domain::event::EventType::ALL {
        let schema = world.json(&format!("/api/schemas/{event_type}/v1"), None).await;
        assert_eq!(schema["type"], "object", "{event_type}");
    }
}

#[tokio::test]
async fn the_front_end_is_served_along_with_the_api() {
    let directory = std::env::temp_dir().join(format!("front-end-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("assets")).unwrap();
    std::fs::write(directory.join("index.html"), "<!doctype html>front end").unwrap();
    std::fs::write(directory.join("assets/app-1.js"), "app()").unwrap();
    let path = directory.to_str().unwrap();
    let enrollment = "https://auth.example.com/if/flow/enroll/";
    let settings = ["--api-static-dir", path, "--api-enrollment-url", enrollment];
    let world = World::with(&settings, &[]).await;
    for page in ["/", "/users/1", "/auth/callback"] {
        let answer = world.get(page, None).await;
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let origin = world.issuer.split("/application").next().unwrap();
        assert!(policy.contains(&format!("connect-src 'self' {origin};")), "{policy}");
        assert_eq!(answer.headers()["cache-control"], "no-cache", "{page}");
        assert_eq!(answer.text().await.unwrap(), "<!doctype html>front end", "{page}");
    }
    let asset = world.get("/assets/app-1.js", None).await;
    assert_eq!(asset.headers()["cache-control"], "public, max-age=31536000, immutable");
    for outside in ["/api/nothing", "/api/", "/api/users/1/nothing"] {
        crate::support::problem(world.get(outside, None).await, 404).await;
    }
    let config = world.get("/config.json", None).await;
    assert_eq!(config.headers()["cache-control"], "no-store");
    assert_eq!(
        config.json::<Value>().await.unwrap(),
        serde_json::json!({
            "issuer": world.issuer,
            "client_id": "authentik-events",
            "redirect_uri_path": "/auth/callback",
            "enrollment_url": enrollment,
        })
    );
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn an_empty_enrollment_url_means_that_there_is_no_sign_up() {
    let world = World::with(&["--api-enrollment-url", ""], &[]).await;
    let config: Value = world.get("/config.json", None).await.json().await.unwrap();
    assert_eq!(config["enrollment_url"], Value::Null);
}

#[tokio::test]
async fn only_listed_origins_may_call() {
    let world = World::with(&["--api-cors-origins", "https://app.example.com"], &[]).await;
    let url = format!("{}/api/me/resync", world.api.url);
    let preflight = |origin: &'static str| {
        let request = Client::new().request(Method::OPTIONS, &url).header("origin", origin);
        request.header("access-control-request-method", "POST").send()
    };
    let allowed = preflight("https://app.example.com").await.unwrap();
    assert_eq!(allowed.status().as_u16(), 204);
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://app.example.com");
    let other = preflight("https://evil.example").await.unwrap();
    assert!(!other.headers().contains_key("access-control-allow-origin"));
    let request = Client::new().get(&url).header("origin", "https://app.example.com");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example.com");
}
