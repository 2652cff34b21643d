//! A running simulator, a target for its webhooks, and the recordings.

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

/// Nothing here takes longer, but on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(20);

/// A recording, by folder and name.
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

/// The settings of tests: quick retries, known tokens, any free port.
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

/// A simulator, stopped when dropped.
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

    /// Ends it in order.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.unwrap().unwrap();
    }

    /// Ends it as SIGKILL would: nothing is finished.
    pub fn kill(self) {
        self.task.abort();
    }

    pub fn request(&self, method: Method, path: &str, token: Option<&str>) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = token { request.bearer_auth(token) } else { request }
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.request(Method::GET, path, Some(READER)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK.as_u16(), "GET {path}");
        answer.json().await.unwrap()
    }

    /// A request of the administrator; null where the answer has no body.
    pub async fn admin(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.request(method, path, Some(ADMIN)).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
    }

    pub async fn control(&self, path: &str, body: Value) -> Value {
        let path = format!("/_control/{path}");
        let answer = self.request(Method::POST, &path, None).json(&body).send().await.unwrap();
        let status = answer.status();
        let body = answer.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    pub async fn state(&self) -> Value {
        self.get("/_control/state").await
    }

    /// A new user's key.
    pub async fn create_user(&self, username: &str) -> i64 {
        let body = json!({"username": username, "name": username});
        self.admin(Method::POST, "/api/v3/core/users/", body).await["pk"].as_i64().unwrap()
    }

    /// The actions of all events, oldest first.
    pub async fn actions(&self) -> Vec<String> {
        let page = self.get("/api/v3/events/events/?ordering=created&page_size=100").await;
        let events = page["results"].as_array().unwrap();
        events.iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the state is as wanted.
    pub async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(async || Some(self.state().await).filter(&wanted)).await
    }
}

/// Looks again and again until there is something to see.
pub async fn wait_for<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        loop {
            pace.tick().await;
            if let Some(seen) = look().await {
                return seen;
            }
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.expect("it is there in time")
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A webhook as it came in.
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

/// What webhooks are sent to.
pub struct Target {
    pub url: String,
    received: watch::Receiver<Vec<Received>>,
    task: JoinHandle<()>,
}

struct Inbox {
    received: watch::Sender<Vec<Received>>,
    answers: std::sync::Mutex<VecDeque<u16>>,
    afterwards: u16,
}

impl Target {
    /// Answers with `answers` (0: never) one after the other, then always with `afterwards`.
    pub async fn start(answers: &[u16], afterwards: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/authentik/webhook", listener.local_addr().unwrap());
        let (sender, received) = watch::channel(vec![]);
        let answers = std::sync::Mutex::new(answers.iter().copied().collect());
        let inbox = Arc::new(Inbox { received: sender, answers, afterwards });
        let server = poem::Server::new_with_acceptor(TcpAcceptor::from_tokio(listener).unwrap());
        let task = tokio::spawn(async move { server.run(inbox).await.unwrap() });
        Self { url, received, task }
    }

    /// Waits until what came in is as wanted.
    pub async fn until(&self, wanted: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let mut received = self.received.clone();
        let wait = received.wait_for(|received| wanted(received));
        tokio::time::timeout(DEADLINE, wait).await.expect("webhooks come in time").unwrap().clone()
    }

    pub fn so_far(&self) -> Vec<Received> {
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
        let status = self.answers.lock().unwrap().pop_front().unwrap_or(self.afterwards);
        if status == 0 {
            std::future::pending::<()>().await;
        }
        Ok(StatusCode::from_u16(status).unwrap().into())
    }
}
