//! Errors of the provider.

use reqwest::Method;
use serde_json::{Value, json};

use crate::oidc::{Browser, authorize, example, location, redeem, refresh};
use crate::support::{Running, recording};

/// Compares an error with a recording, except for the random request id.
fn assert_error(recorded: &str, (status, body): &(u16, Value)) {
    let recorded = &recording("oidc/errors")[recorded];
    assert_eq!(Some(u64::from(*status)), recorded["status"].as_u64());
    for member in ["error", "error_description"] {
        assert_eq!(body[member], recorded["body"][member]);
    }
    assert!(body["request_id"].is_string());
}

#[tokio::test]
async fn errors_of_the_token_endpoint_equal_the_recorded_ones() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    for (recorded, form) in [
        ("invalid_code", "grant_type=authorization_code&client_id=example-client&code=nope"),
        ("unknown_client", "grant_type=authorization_code&client_id=nobody&code=nope"),
        ("unsupported_grant", "grant_type=nope&client_id=example-client"),
    ] {
        assert_error(recorded, &browser.token(form).await);
    }
}

#[tokio::test]
async fn a_code_needs_its_verifier_and_can_be_used_once() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    let form = redeem(&browser.log_in("grace", "openid").await);
    let wrong = form.replace("code_verifier=a-", "code_verifier=b-");
    assert_error("invalid_code", &browser.token(&wrong).await);
    assert_error("invalid_code", &browser.token(&form).await);
}

#[tokio::test]
async fn userinfo_refuses_an_invalid_token() {
    let simulator = Running::start(example()).await;
    let recorded = &recording("oidc/errors")["userinfo_bad_token"];
    let response = simulator.request(Method::GET, "/application/o/userinfo/", Some("nope"));
    let response = response.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 401);
    let reason = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert_eq!(reason, recorded["headers"]["www-authenticate"].as_str().unwrap());
    assert_eq!(response.text().await.unwrap(), "");
}

#[tokio::test]
async fn a_deactivated_user_cannot_use_tokens_or_log_in() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    let tokens = browser.tokens("grace", "openid offline_access").await;
    simulator.admin(Method::PATCH, "/api/v3/core/users/8/", json!({"is_active": false})).await;
    let userinfo =
        simulator.request(Method::GET, "/application/o/userinfo/", tokens["access_token"].as_str());
    assert_eq!(userinfo.send().await.unwrap().status().as_u16(), 401);
    assert_error("invalid_code", &browser.token(&refresh(&tokens)).await);
    let again = location(&browser.open(&authorize("openid", "")).await);
    let refused = browser.submit(&again, "username=grace&password=grace-password").await;
    assert!(refused.headers().get("set-cookie").is_none());
    assert_eq!(simulator.actions().await.last().unwrap(), "login_failed");
}

#[tokio::test]
async fn a_revoked_token_is_refused() {
    let simulator = Running::start(example()).await;
    let tokens = simulator.control("token", json!({"username": "grace"})).await;
    let token = tokens["access_token"].as_str().unwrap();
    let mut browser = Browser::new(&simulator);
    let form = format!("client_id=example-client&token={token}");
    let response = browser.submit("/application/o/revoke/", &form).await;
    assert_eq!((response.status().as_u16(), response.text().await.unwrap()), (200, String::new()));
    let userinfo = simulator.request(Method::GET, "/application/o/userinfo/", Some(token));
    assert_eq!(userinfo.send().await.unwrap().status().as_u16(), 401);
}

#[tokio::test]
async fn a_failed_login_with_an_unknown_username_repeats_the_typed_name() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    let path = "/if/flow/default-authentication-flow/?next=/";
    let page = browser.submit(path, "username=nobody-here&password=x").await;
    assert!(page.text().await.unwrap().contains("role=\"alert\""));
    let event = &simulator.get("/api/v3/events/events/").await["results"][0];
    let recorded = recording("webhooks/login_failed_unknown_user");
    let recorded: Value = serde_json::from_str(recorded["body"].as_str().unwrap()).unwrap();
    let actor = &recorded["event"]["actor"];
    for member in ["pk", "email", "username", "authenticated_as"] {
        assert_eq!(event["user"][member], actor[member], "{member}");
    }
    let context = |of: &Value| of["context"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(context(event), context(&recorded["event"]));
}

#[tokio::test]
async fn a_browser_is_never_redirected_to_an_unknown_uri() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    let evil = authorize("openid", "").replace("localhost:3000", "evil.example");
    let response = browser.open(&evil).await;
    assert_eq!(response.status().as_u16(), 400);
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let path = "/if/flow/default-authentication-flow/?next=//evil.example/";
    let response = browser.submit(path, "username=grace&password=grace-password").await;
    assert_eq!(location(&response), "/");
}

#[tokio::test]
async fn only_the_origins_of_redirect_uris_may_read_tokens() {
    let simulator = Running::start(example()).await;
    for (origin, is_allowed) in [("http://localhost:3000", true), ("http://localhost:3001", false)] {
        let request = simulator
            .request(Method::OPTIONS, "/application/o/token/", None)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type");
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let allowed = response.headers().get("access-control-allow-origin");
        assert_eq!(allowed.is_some_and(|allowed| allowed == origin), is_allowed, "{origin}");
    }
}
