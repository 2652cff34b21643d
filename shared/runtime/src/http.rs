//! The HTTP server of every program.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use poem::endpoint::make_sync;
use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::web::Json;
use poem::{Endpoint, IntoResponse, Route, Server, get};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::net::{TcpSocket, lookup_host};
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::telemetry;

/// How long a shutdown waits for open requests: shorter than [`crate::program::GRACE`].
const GRACE: Duration = Duration::from_secs(7);

/// A connection whose client accepts no data for this long is closed: the client hangs, or its machine is gone.
/// Without this limit it would stay open, because a blocked response never reaches a timeout of the program.
#[cfg(target_os = "linux")]
const MAX_STALL: Duration = Duration::from_secs(20);

/// A listening socket that does not serve yet.
pub struct Bound {
    acceptor: TcpAcceptor,
    address: SocketAddr,
}

/// Listens on `address`: `host:port`, or a port alone for all IPv4 interfaces.
pub async fn bind(address: &str) -> anyhow::Result<Bound> {
    let address = host_and_port(address);
    let resolved = lookup_host(&address).await.with_context(|| format!("looking up {address}"))?.next();
    let resolved = resolved.with_context(|| format!("{address} has no address to listen on"))?;
    let socket = if resolved.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.context("creating a socket")?;
    socket.set_reuseaddr(true).context("setting SO_REUSEADDR")?;
    // Accepted sockets inherit this option and the next one.
    socket.set_nodelay(true).context("setting TCP_NODELAY")?;
    #[cfg(target_os = "linux")]
    SockRef::from(&socket).set_tcp_user_timeout(Some(MAX_STALL)).context("setting TCP_USER_TIMEOUT")?;
    socket.bind(resolved).with_context(|| format!("listening on {resolved}; is the port in use?"))?;
    // With the default backlog of 128, thousands of browsers that reconnect together would wait for seconds.
    let listener = socket.listen(4096).with_context(|| format!("listening on {resolved}"))?;
    let address = listener.local_addr().context("reading the address listened on")?;
    Ok(Bound { acceptor: TcpAcceptor::from_tokio(listener).context("accepting connections")?, address })
}

/// Adds the address of all IPv4 interfaces to a port alone.
pub(crate) fn host_and_port(address: &str) -> String {
    if address.contains(':') { address.to_owned() } else { format!("0.0.0.0:{address}") }
}

impl Bound {
    /// The address it listens on, with the actual port if port 0 was requested.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until shutdown, then gives open requests 7 seconds to finish.
    pub async fn serve<E: Endpoint + 'static>(
        self,
        app: E,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        Server::new_with_acceptor(self.acceptor)
            .run_with_graceful_shutdown(app, async move { shutdown.cancelled().await }, Some(GRACE))
            .await
            .context("serving HTTP")
    }
}

/// Routes for operators: `/healthz` (always 200), `/readyz` (200 if ready, else 503 and the failed conditions as
/// JSON) and `/metrics` (Prometheus text).
pub fn operations(health: &Health) -> Route {
    let health = health.clone();
    Route::new()
        .at("/healthz", get(make_sync(|_| "ok\n")))
        .at("/readyz", get(make_sync(move |_| readiness(&health))))
        .at("/metrics", get(make_sync(|_| telemetry::render_metrics())))
}

fn readiness(health: &Health) -> impl IntoResponse + use<> {
    let failures = health.failures();
    if failures.is_empty() {
        return "ready\n".into_response();
    }
    Json(failures).with_status(StatusCode::SERVICE_UNAVAILABLE).into_response()
}
