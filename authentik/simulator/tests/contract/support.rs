//! Starts simulators and webhook targets, and reads the recordings.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::{Endpoint, Request, Response};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::Config;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const READER: &str = "reader-token";
pub const ADMIN: &str = "admin-token";
pub const SECRET: &str = "whsec_bGFiLXdlYmhvb2stc2VjcmV0LTAxMjM0NTY3ODlhYmNkZWY=";

/// The longest wait for a condition. It allows for a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// A parsed recording, by folder and name.
pub fn recording(name: &str) -> Value {
    serde_json::from_str(&recorded_text(name)).unwrap()
}

/// The text of a recording.
pub fn recorded_text(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/testkit/fixtures/authentik")
        .join(format!("{name}.json"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The default settings of the tests: a free port, known tokens and short backoffs.
pub fn config() -> Config {
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        api_token: Some(READER.into()),
        admin_token: Some(ADMIN.into()),
        retry_scale: 0.001,
        delivery_delay_ms: 20,
        ..Config::default()
    }
}

/// A running simulator, which stops when dropped.
pub struct Running {
    pub base: String,
    pub client: reqwest::Client,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    pub async fn start(config: Config) -> Self {
        let simulator = simulator::bind(config).await.unwrap();
        let base = format!("http://{}", simulator.local_addr());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(simulator.serve(shutdown.clone()));
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { base, client, shutdown, task }
    }

    /// Stops the simulator gracefully.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.unwrap().unwrap();
    }

    /// Stops the simulator at once, without completing anything, like SIGKILL.
    pub fn kill(self) {
        self.task.abort();
    }

    pub fn request(&self, method: Method, path: &str, token: Option<&str>) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = token { request.bearer_auth(token) } else { request }
    }

    pub async fn get(&self, path: &str) -> Value {
        let response = self.request(Method::GET, path, Some(READER)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK.as_u16(), "GET {path}");
        response.json().await.unwrap()
    }

    /// Sends a request of the administrator. Returns null if the response has no body.
    pub async fn admin(&self, method: Method, path: &str, body: Value) -> Value {
        let response = self.request(method, path, Some(ADMIN)).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default()
    }

    pub async fn control(&self, path: &str, body: Value) -> Value {
        let path = format!("/_control/{path}");
        let response = self.request(Method::POST, &path, None).json(&body).send().await.unwrap();
        let status = response.status();
        let body = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    pub async fn state(&self) -> Value {
        self.get("/_control/state").await
    }

    /// Creates a user and returns the key.
    pub async fn create_user(&self, username: &str) -> i64 {
        let body = json!({"username": username, "name": username});
        self.admin(Method::POST, "/api/v3/core/users/", body).await["pk"].as_i64().unwrap()
    }

    /// The actions of all events, in the order of creation.
    pub async fn actions(&self) -> Vec<String> {
        let page = self.get("/api/v3/events/events/?ordering=created&page_size=100").await;
        let events = page["results"].as_array().unwrap();
        events.iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for a condition on the state.
    pub async fn until(&self, condition: impl Fn(&Value) -> bool) -> Value {
        wait_for(async || Some(self.state().await).filter(&condition)).await
    }
}

/// Polls until `poll` returns a value.
pub async fn wait_for<T>(poll: impl AsyncFn() -> Option<T>) -> T {
    let polling = async {
        let mut interval = tokio::time::interval(Duration::from_millis(5));
        loop {
            interval.tick().await;
            if let Some(value) = poll().await {
                return value;
            }
        }
    };
    tokio::time::timeout(DEADLINE, polling).await.expect("the condition holds before the deadline")
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A received webhook.
#[derive(Clone, Debug)]
pub struct Received {
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn action(&self) -> String {
        self.json()["event"]["action"].as_str().unwrap().to_owned()
    }
}

/// A server that receives webhooks.
pub struct Target {
    pub url: String,
    received: watch::Receiver<Vec<Received>>,
    task: JoinHandle<()>,
}

struct Inbox {
    received: watch::Sender<Vec<Received>>,
    first: std::sync::Mutex<VecDeque<u16>>,
    afterwards: u16,
}

impl Target {
    /// Responds with each of the `first` statuses once (0: never responds), then always with `afterwards`.
    pub async fn start(first: &[u16], afterwards: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/authentik/webhook", listener.local_addr().unwrap());
        let (sender, received) = watch::channel(vec![]);
        let first = std::sync::Mutex::new(first.iter().copied().collect());
        let inbox = Arc::new(Inbox { received: sender, first, afterwards });
        let server = poem::Server::new_with_acceptor(TcpAcceptor::from_tokio(listener).unwrap());
        let task = tokio::spawn(async move { server.run(inbox).await.unwrap() });
        Self { url, received, task }
    }

    /// Waits for a condition on the received webhooks.
    pub async fn until(&self, condition: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let mut received = self.received.clone();
        let wait = received.wait_for(|received| condition(received));
        tokio::time::timeout(DEADLINE, wait)
            .await
            .expect("the webhooks arrive before the deadline")
            .unwrap()
            .clone()
    }

    /// The webhooks received so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Endpoint for Inbox {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let headers = request.headers().clone();
        let body = request.take_body().into_vec().await?;
        self.received.send_modify(|received| received.push(Received { headers, body }));
        let status = self.first.lock().unwrap().pop_front().unwrap_or(self.afterwards);
        if status == 0 {
            std::future::pending::<()>().await;
        }
        Ok(StatusCode::from_u16(status).unwrap().into())
    }
}
