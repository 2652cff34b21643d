//! What a sign-out ends, as observed on authentik 2026.5 and 2026.2.

use reqwest::Method;
use serde_json::{Value, json};

use crate::oidc::{Browser, CALLBACK, authorize, example, location, refresh};
use crate::support::Running;

const END_SESSION: &str = "/application/o/example/end-session/";

/// Whether a new code needs a login.
async fn asks_for_a_login(browser: &mut Browser<'_>) -> bool {
    let next = location(&browser.open(&authorize("openid", "")).await);
    assert!(
        next.starts_with("/if/flow/default-authentication-flow/") || next.starts_with(CALLBACK),
        "{next}"
    );
    !next.starts_with(CALLBACK)
}

async fn is_access_token_valid(simulator: &Running, tokens: &Value) -> bool {
    let token = tokens["access_token"].as_str();
    let userinfo = simulator.request(Method::GET, "/application/o/userinfo/", token).send().await.unwrap();
    userinfo.status() == 200
}

#[tokio::test]
async fn the_flow_of_a_new_provider_ends_nothing() {
    let simulator = Running::start(example()).await;
    simulator.control("faults", json!({"mistakes": ["sign_out_ends_nothing"]})).await;
    let mut browser = Browser::new(&simulator);
    let tokens = browser.tokens("grace", "openid offline_access").await;
    let page = browser.open(&format!("{END_SESSION}?post_logout_redirect_uri={CALLBACK}")).await;
    assert_eq!(page.status().as_u16(), 200);
    assert!(page.headers().get("set-cookie").is_none(), "the cookie stays");
    assert!(page.text().await.unwrap().contains("You are still logged in to authentik"));
    assert!(!asks_for_a_login(&mut browser).await);
    assert!(is_access_token_valid(&simulator, &tokens).await);
    assert_eq!(browser.token(&refresh(&tokens)).await.0, 200);
    assert!(!simulator.actions().await.contains(&"logout".to_owned()));
}

#[tokio::test]
async fn the_flow_of_the_blueprint_ends_the_session_but_not_the_refresh_token() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    let tokens = browser.tokens("grace", "openid offline_access").await;
    let out = browser.open(&format!("{END_SESSION}?post_logout_redirect_uri={CALLBACK}&state=s")).await;
    assert_eq!(location(&out), format!("{CALLBACK}?state=s"));
    assert_eq!(simulator.actions().await.last().unwrap(), "logout");
    assert!(asks_for_a_login(&mut browser).await);
    let (status, renewed) = browser.token(&refresh(&tokens)).await;
    assert_eq!(status, 200);
    let token = renewed["refresh_token"].as_str().unwrap();
    let form = format!("client_id=example-client&token_type_hint=refresh_token&token={token}");
    assert_eq!(browser.submit("/application/o/revoke/", &form).await.status().as_u16(), 200);
    assert_eq!(browser.token(&refresh(&renewed)).await.0, 400);
}

#[tokio::test]
async fn without_a_matching_logout_uri_a_sign_out_ends_at_the_start_page() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    for (uri, mistakes) in [
        ("", json!([])),
        ("http://localhost:3000/", json!([])),
        ("http://evil.example/auth/callback", json!([])),
        (CALLBACK, json!(["no_logout_uris"])),
    ] {
        simulator.control("faults", json!({"mistakes": mistakes})).await;
        browser.log_in("grace", "openid").await;
        let out = browser.open(&format!("{END_SESSION}?post_logout_redirect_uri={uri}")).await;
        assert_eq!(location(&out), "/", "{uri}");
        assert!(asks_for_a_login(&mut browser).await);
    }
}

#[tokio::test]
async fn the_revocation_endpoint_has_no_cors_headers_and_refuses_unknown_clients() {
    let simulator = Running::start(example()).await;
    let request = |method| simulator.request(method, "/application/o/revoke/", None);
    let preflight = request(Method::OPTIONS).header("origin", "http://localhost:3000").send().await.unwrap();
    assert_eq!(preflight.status().as_u16(), 405);
    let revoke = request(Method::POST).header("origin", "http://localhost:3000");
    let form = "client_id=example-client&token=unknown";
    let revoked = revoke.body(form).send().await.unwrap();
    assert_eq!(revoked.status().as_u16(), 200);
    assert!(revoked.headers().get("access-control-allow-origin").is_none());
    let unknown = request(Method::POST).body("client_id=nobody&token=unknown").send().await.unwrap();
    assert_eq!(unknown.status().as_u16(), 401);
    assert_eq!(unknown.json::<Value>().await.unwrap()["error"], "invalid_client");
}

#[tokio::test]
async fn a_sign_up_refuses_a_short_password_and_the_address_of_another_user() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    let sign_up = "/if/flow/authentik-events-enrollment/?next=/";
    for (email, password, message) in [
        ("new@lab.invalid", "a", "at least 12 characters"),
        ("GRACE@lab.invalid", "a-long-password", "in use"),
    ] {
        let form = format!("username=new&name=New&email={email}&password={password}");
        let page = browser.submit(sign_up, &form).await;
        assert_eq!(page.status().as_u16(), 200);
        let text = page.text().await.unwrap();
        assert!(text.contains("role=\"alert\"") && text.contains(message), "{text}");
    }
    assert!(simulator.actions().await.is_empty());
    let page = browser.open("/if/flow/default-authentication-flow/?next=/").await.text().await.unwrap();
    assert!(!page.contains("Sign up"), "the organisation's login page stays as it is");
}
