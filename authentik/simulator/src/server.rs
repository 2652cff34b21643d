//! The HTTP server, which routes each request to its handler.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use poem::http::{HeaderValue, StatusCode};
use poem::listener::TcpAcceptor;
use poem::{Endpoint, Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::call::{self, Call};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::oidc::keys;
use crate::webhook::sender::Sender;
use crate::world::World;
use crate::{clock, control, oidc, rest};

/// The largest accepted body, in bytes.
const MAX_BODY: usize = 1 << 20;
/// How long open requests may continue after shutdown begins.
const GRACE: Duration = Duration::from_secs(2);

/// A simulator that has opened its address and its state, but does not serve yet.
pub struct Simulator {
    world: Arc<World>,
    listener: TcpListener,
    address: SocketAddr,
    sender: Option<Sender>,
}

/// Binds the address and opens the state.
///
/// Fails if the address is taken, if the webhook secret is invalid, or if the state directory cannot be read.
pub async fn bind(config: Config) -> anyhow::Result<Simulator> {
    let sender = Sender::new(&config)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("SIMULATOR_LISTEN: binding {}", config.listen))?;
    let address = listener.local_addr().context("reading the bound address")?;
    let open = move || {
        let world = World::open(config)?;
        keys::ensure(&world)?;
        anyhow::Ok(Arc::new(world))
    };
    let world = tokio::task::spawn_blocking(open).await.context("opening the state")??;
    Ok(Simulator { world, listener, address, sender })
}

/// The whole program: serves requests and sends webhooks until `shutdown`.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    bind(config).await?.serve(shutdown).await
}

impl Simulator {
    /// The bound address, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves requests and sends webhooks until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        tracing::info!("the simulator listens on http://{}/", self.address);
        let acceptor = TcpAcceptor::from_tokio(self.listener).context("listening")?;
        let app = App { world: Arc::clone(&self.world) };
        let server = poem::Server::new_with_acceptor(acceptor).run_with_graceful_shutdown(
            app,
            shutdown.clone().cancelled_owned(),
            Some(GRACE),
        );
        let sending = async {
            if let Some(sender) = self.sender {
                sender.run(self.world, shutdown).await;
            }
        };
        let (outcome, ()) = tokio::join!(server, sending);
        outcome.context("serving")
    }
}

struct App {
    world: Arc<World>,
}

impl Endpoint for App {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let request_id = clock::new_uuid().simple().to_string();
        let response = match read(&self.world.config, request, request_id.clone()).await {
            Ok(call) => route(&self.world, &call).await,
            Err(status) => call::empty(status),
        };
        let date = clock::now().plus_seconds(self.world.faults().clock_ahead.into());
        Ok(with_common_headers(response, &request_id, date))
    }
}

async fn read(config: &Config, mut request: Request, request_id: String) -> Result<Call, StatusCode> {
    let body = request.take_body().into_bytes_limit(MAX_BODY).await;
    let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    let headers = request.headers().clone();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let raw_query = request.uri().query().unwrap_or_default();
    let base_url = config.public_url.as_ref().map_or_else(
        || {
            let scheme = header("x-forwarded-proto").unwrap_or("http");
            format!("{scheme}://{}", header("host").unwrap_or("localhost"))
        },
        |url| url.trim_end_matches('/').to_owned(),
    );
    let peer = request.remote_addr().as_socket_addr().map(|address| address.ip().to_string());
    let forwarded = header("x-forwarded-for").and_then(|list| list.split(',').next());
    let client_ip = forwarded.map(|ip| ip.trim().to_owned()).or(peer);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = call::decode(raw_query);
    Ok(Call { method, path, query, headers, body, request_id, client_ip, base_url })
}

async fn route(world: &World, call: &Call) -> Response {
    let segments: Vec<&str> = call.path.trim_start_matches('/').split('/').collect();
    match segments.as_slice() {
        ["api", "v3", rest @ ..] => rest::handle(world, call, rest).await,
        ["application", "o", rest @ ..] => oidc::handle(world, call, rest),
        ["if", "flow", flow, ""] => oidc::flow(world, call, flow),
        ["_control", rest @ ..] => control::handle(world, call, rest),
        [""] => oidc::home(world, call),
        _ => oidc::pages::not_found(),
    }
}

/// Adds the headers that authentik's middlewares add to every response.
fn with_common_headers(mut response: Response, request_id: &str, date: Timestamp) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("server", "uvicorn"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("vary", "Accept-Language, Cookie"),
        ("content-language", "en"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in [("x-authentik-id", request_id), ("date", &date.http_date())] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}
