//! An imitation of authentik's outpost, and a mirror in place of the API.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use poem::endpoint::make_sync;
use poem::http::{HeaderMap, StatusCode};
use poem::{Request, Response, Route};
use runtime::CancellationToken;
use serde_json::{Value, json};

pub const SECRET: &str = "the client secret of the proxy provider of this test";
pub const ISSUER: &str = "https://auth.example.com/application/o/proxied/";
pub const CLIENT_ID: &str = "proxied";

/// Cookie of a browser that is signed in as this user.
pub fn cookie(username: &str) -> String {
    format!("authentik_proxy={username}")
}

/// An outpost that knows the cookies of signed-in users.
#[derive(Clone)]
pub struct Outpost {
    pub address: SocketAddr,
    tokens: Arc<Mutex<HashMap<String, String>>>,
    requests: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Outpost {
    pub async fn start() -> Self {
        let bound = runtime::http::bind("127.0.0.1:0").await.unwrap();
        let outpost = Self { address: bound.address(), tokens: Arc::default(), requests: Arc::default() };
        let outpost_of_route = outpost.clone();
        let routes = Route::new()
            .at(
                "/outpost.goauthentik.io/auth/nginx",
                make_sync(move |request| outpost_of_route.authenticate(&request)),
            )
            .at("/outpost.goauthentik.io/start", make_sync(|request| start(&request)));
        tokio::spawn(bound.serve(routes, CancellationToken::new()));
        outpost
    }

    /// Signs a user in. Returns the token that the outpost passes on.
    pub fn sign_in(&self, username: &str, uid: &str) -> String {
        let token = sign(&claims(uid), SECRET.as_bytes());
        self.tokens.lock().unwrap().insert(cookie(username), token.clone());
        token
    }

    /// Headers of the authentication requests since the last call.
    pub fn take_requests(&self) -> Vec<HeaderMap> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    fn authenticate(&self, request: &Request) -> Response {
        self.requests.lock().unwrap().push(request.headers().clone());
        let session = request.header("cookie").and_then(|cookie| {
            let token = self.tokens.lock().unwrap().get(cookie).cloned()?;
            Some((cookie.rsplit('=').next().unwrap().to_owned(), token))
        });
        let Some((username, token)) = session else {
            let answer = Response::builder().status(StatusCode::UNAUTHORIZED);
            return answer.header("set-cookie", "authentik_proxy=not-yet").finish();
        };
        Response::builder()
            .header("x-authentik-username", &username)
            .header("x-authentik-groups", "navy|engineers")
            .header("x-authentik-email", format!("{username}@example.com"))
            .header("x-authentik-name", &username)
            .header("x-authentik-uid", "a hash")
            .header("x-authentik-jwt", token)
            .header("x-authentik-meta-app", "proxied")
            .finish()
    }
}

/// Redirects a browser to authentik.
fn start(request: &Request) -> Response {
    let back = request.uri().query().unwrap_or_default();
    let authentik = format!("https://auth.example.com/application/o/authorize/?{back}");
    Response::builder().status(StatusCode::FOUND).header("location", authentik).finish()
}

/// Claims for a user with many groups: longer than nginx accepts in a header by default.
pub fn claims(uid: &str) -> Value {
    let now = runtime::clock::now().unix_seconds();
    let groups: Vec<_> = (0..300).map(|n| format!("one of many groups {n}")).collect();
    json!({
        "iss": ISSUER, "sub": uid, "aud": CLIENT_ID, "azp": CLIENT_ID, "iat": now, "exp": now + 3600,
        "scope": "openid profile email ak_proxy", "groups": groups,
    })
}

pub fn sign(claims: &Value, secret: &[u8]) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// Starts a server that answers with the HTTP version and the headers of each request.
pub async fn mirror() -> SocketAddr {
    let bound = runtime::http::bind("127.0.0.1:0").await.unwrap();
    let address = bound.address();
    tokio::spawn(bound.serve(make_sync(|request: Request| mirrored(&request)), CancellationToken::new()));
    address
}

fn mirrored(request: &Request) -> Response {
    let mut headers: HashMap<String, Vec<String>> = HashMap::new();
    for (name, value) in request.headers() {
        headers.entry(name.to_string()).or_default().push(value.to_str().unwrap().to_owned());
    }
    let body = json!({"version": format!("{:?}", request.version()), "headers": headers});
    Response::builder().content_type("application/json").body(body.to_string())
}
