//! Logins with a browser, and the resulting tokens.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::{Method, Response, Url};
use serde_json::{Value, json};
use simulator::Config;

use crate::shape;
use crate::support::{Running, config, recording};

pub const CALLBACK: &str = "http://localhost:3000/auth/callback";
const VERIFIER: &str = "a-verifier-that-is-long-enough-for-the-rfc-0123456789";

/// The application of the recordings.
pub fn example() -> Config {
    Config { app_slug: "example".to_owned(), client_id: "example-client".to_owned(), ..config() }
}

/// A browser, which keeps one cookie and does not follow redirects.
pub struct Browser<'a> {
    pub simulator: &'a Running,
    pub cookie: String,
}

impl<'a> Browser<'a> {
    pub fn new(simulator: &'a Running) -> Self {
        Self { simulator, cookie: String::new() }
    }

    async fn send(&mut self, method: Method, path: &str, form: Option<&str>) -> Response {
        let path = path.strip_prefix(&self.simulator.base).unwrap_or(path);
        let mut request = self.simulator.request(method, path, None).header("cookie", &self.cookie);
        if let Some(form) = form {
            let content_type = "application/x-www-form-urlencoded";
            request = request.header("content-type", content_type).body(form.to_owned());
        }
        let response = request.send().await.unwrap();
        if let Some(cookie) = response.headers().get("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
            cookie.split(';').next().unwrap().clone_into(&mut self.cookie);
        }
        response
    }

    pub async fn open(&mut self, path: &str) -> Response {
        self.send(Method::GET, path, None).await
    }

    pub async fn submit(&mut self, path: &str, form: &str) -> Response {
        self.send(Method::POST, path, Some(form)).await
    }

    /// Goes from the authorization request through the login form to the callback.
    pub async fn log_in(&mut self, username: &str, scope: &str) -> Url {
        let form = location(&self.open(&authorize(scope, "")).await);
        let password = format!("username={username}&password={username}-password");
        let next = location(&self.submit(&form, &password).await);
        Url::parse(&location(&self.open(&next).await)).unwrap()
    }

    /// Logs in, and exchanges the code for tokens.
    pub async fn tokens(&mut self, username: &str, scope: &str) -> Value {
        let callback = self.log_in(username, scope).await;
        let (status, tokens) = self.token(&redeem(&callback)).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    pub async fn token(&mut self, form: &str) -> (u16, Value) {
        let response = self.submit("/application/o/token/", form).await;
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

pub fn location(response: &Response) -> String {
    response.headers().get("location").expect("a redirect").to_str().unwrap().to_owned()
}

pub fn authorize(scope: &str, more: &str) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, VERIFIER.as_bytes()));
    format!(
        "/application/o/authorize/?client_id=example-client&redirect_uri={CALLBACK}&response_type=code&\
         scope={scope}&state=st-1&nonce=n-1&code_challenge={challenge}&code_challenge_method=S256{more}"
    )
}

pub fn redeem(callback: &Url) -> String {
    let code = callback.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    format!(
        "grant_type=authorization_code&client_id=example-client&code={code}&redirect_uri={CALLBACK}&\
         code_verifier={VERIFIER}"
    )
}

/// The form that exchanges the refresh token.
pub fn refresh(tokens: &Value) -> String {
    let token = tokens["refresh_token"].as_str().unwrap();
    format!("grant_type=refresh_token&client_id=example-client&refresh_token={token}")
}

/// The claims of a token, after a check of its signature.
async fn verified(simulator: &Running, token: &Value) -> Value {
    let keys = simulator.get("/application/o/example/jwks/").await;
    let keys: JwkSet = serde_json::from_value(keys).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["example-client"]);
    let issuer = format!("{}/application/o/example/", simulator.base);
    validation.set_issuer(&[issuer]);
    let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    jsonwebtoken::decode::<Value>(token.as_str().unwrap(), &key, &validation).unwrap().claims
}

#[tokio::test]
async fn the_discovery_document_equals_the_recorded_one() {
    let simulator = Running::start(example()).await;
    let actual = simulator.get("/application/o/example/.well-known/openid-configuration").await;
    let recorded = recording("oidc/openid-configuration").to_string();
    let recorded = recorded.replace("http://127.0.0.1:9000", &simulator.base);
    assert_eq!(actual, serde_json::from_str::<Value>(&recorded).unwrap());
}

#[tokio::test]
async fn the_issuer_follows_the_host_header() {
    let simulator = Running::start(example()).await;
    let request = simulator
        .request(Method::GET, "/application/o/example/.well-known/openid-configuration", None)
        .header("host", "auth.example.com")
        .header("x-forwarded-proto", "https");
    let body: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(body["issuer"], "https://auth.example.com/application/o/example/");
}

#[tokio::test]
async fn tokens_after_a_login_have_the_recorded_shape() {
    let simulator = Running::start(example()).await;
    let recording = recording("oidc/authorization_code_pkce");
    let mut browser = Browser::new(&simulator);
    let callback = browser.log_in("grace", "openid profile email offline_access").await;
    assert!(callback.as_str().starts_with(CALLBACK));
    assert!(callback.query_pairs().any(|pair| pair == ("state".into(), "st-1".into())));
    let (status, tokens) = browser.token(&redeem(&callback)).await;
    assert_eq!(status, 200, "{tokens}");
    shape::assert_same(&recording["token_response"], &tokens, "tokens");
    for (token, recorded) in [("access_token", "access_token_decoded"), ("id_token", "id_token_decoded")] {
        let header = jsonwebtoken::decode_header(tokens[token].as_str().unwrap()).unwrap();
        assert_eq!(header.typ.as_deref(), Some("JWT"));
        let claims = verified(&simulator, &tokens[token]).await;
        shape::assert_same(&recording[recorded]["payload"], &claims, token);
        for same in ["sub", "aud", "acr", "amr", "email", "name", "preferred_username", "groups"] {
            assert_eq!(claims[same], recording[recorded]["payload"][same], "{token}.{same}");
        }
    }
    let userinfo =
        simulator.request(Method::GET, "/application/o/userinfo/", tokens["access_token"].as_str());
    let userinfo: Value = userinfo.send().await.unwrap().json().await.unwrap();
    shape::assert_same(&recording["userinfo"], &userinfo, "userinfo");
    assert_eq!(simulator.actions().await, ["login", "authorize_application"]);
}

#[tokio::test]
async fn a_refresh_token_can_be_used_once() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    let refresh = refresh(&browser.tokens("grace", "openid profile email offline_access").await);
    let (status, refreshed) = browser.token(&refresh).await;
    assert_eq!(status, 200);
    let recording = recording("oidc/authorization_code_pkce");
    shape::assert_same(&recording["refresh_response"], &refreshed, "refreshed");
    let claims = verified(&simulator, &refreshed["access_token"]).await;
    shape::assert_same(&recording["refreshed_access_token_decoded"]["payload"], &claims, "claims");
    let (status, reused) = browser.token(&refresh).await;
    assert_eq!(status, 400);
    assert_eq!(reused["error_description"], recording["reused_refresh_token"]["body"]["error_description"]);
    assert_eq!(simulator.actions().await.last().unwrap(), "suspicious_request");
}

#[tokio::test]
async fn without_offline_access_there_is_no_refresh_token() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    let tokens = browser.tokens("ada", "openid profile").await;
    assert_eq!(tokens.get("refresh_token"), None);
    assert_eq!(verified(&simulator, &tokens["access_token"]).await.get("email"), None);
}

#[tokio::test]
async fn a_session_needs_no_second_login_unless_the_client_requests_one() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    browser.log_in("grace", "openid").await;
    assert!(location(&browser.open(&authorize("openid", "")).await).starts_with(CALLBACK));
    let again = location(&browser.open(&authorize("openid", "&prompt=login")).await);
    assert!(again.starts_with("/if/flow/default-authentication-flow/"), "{again}");
}

#[tokio::test]
async fn a_sign_up_logs_in_and_redirects_to_the_client() {
    let simulator = Running::start(example()).await;
    let mut browser = Browser::new(&simulator);
    let form = location(&browser.open(&authorize("openid profile", "")).await);
    let sign_up = form.replace("default-authentication-flow", "authentik-events-enrollment");
    let fields = "username=barbara&name=Barbara+Liskov&email=barbara@lab.invalid&password=a-long-password";
    let next = location(&browser.submit(&sign_up, fields).await);
    let callback = Url::parse(&location(&browser.open(&next).await)).unwrap();
    let (_, tokens) = browser.token(&redeem(&callback)).await;
    let claims = verified(&simulator, &tokens["access_token"]).await;
    assert_eq!(claims["preferred_username"], "barbara");
    assert_eq!(claims.get("amr"), None);
    let expected = ["model_created", "user_write", "login", "authorize_application"];
    assert_eq!(simulator.actions().await, expected);
    let page = simulator.get("/api/v3/core/users/?username=barbara").await;
    assert_eq!(page["results"][0]["path"], "users/self-registered");
    assert_eq!(page["results"][0]["type"], "external");
}

#[tokio::test]
async fn a_control_route_issues_tokens_without_a_browser() {
    let simulator = Running::start(example()).await;
    let tokens = simulator.control("token", json!({"username": "grace", "expires_in": 60})).await;
    let claims = verified(&simulator, &tokens["access_token"]).await;
    assert_eq!(claims["groups"], json!(["navy"]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
    assert!(simulator.actions().await.is_empty());
}
