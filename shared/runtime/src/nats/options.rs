//! Options of the connection, and the handling of its events.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_nats::{ClientError, ConnectOptions, Event, ServerError};
use tokio::sync::watch;

use crate::config::NatsConfig;
use crate::health::Health;

/// How long to wait for an acknowledgement or another answer of JetStream. It usually takes milliseconds.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(3);

/// Interval of pings. A hanging server keeps its connections open; the client drops one after three unanswered pings.
const PING: Duration = Duration::from_secs(3);

/// Count how often the connection was made and lost.
pub(super) struct Counters {
    pub(super) connects: watch::Sender<u64>,
    pub(super) losses: watch::Sender<u64>,
}

pub(super) async fn connect_options(
    config: &NatsConfig,
    name: &str,
    health: &Health,
    counters: Counters,
) -> anyhow::Result<ConnectOptions> {
    let options = ConnectOptions::new()
        .name(name)
        // Permissions can restrict a NATS user to its own replies.
        .custom_inbox_prefix(format!("_INBOX.{name}"))
        .retry_on_initial_connect()
        .request_timeout(Some(ACK_TIMEOUT))
        .ping_interval(PING)
        // From 50 ms to 1 s: reconnects soon after a restart of the server, without overloading it.
        .reconnect_delay_callback(|attempts| Duration::from_millis(50 * (attempts as u64).clamp(1, 20)))
        .subscription_capacity(64 * 1024);
    let options = with_certificates(with_user(options, config).await?, config).await?;
    let health = health.clone();
    let user = describe_user(config);
    Ok(options.event_callback(move |event| {
        match event {
            Event::Connected => counters.connects.send_modify(|n_connects| *n_connects += 1),
            Event::Disconnected => counters.losses.send_modify(|n_losses| *n_losses += 1),
            _ => {}
        }
        let (health, user) = (health.clone(), user.clone());
        async move { handle_event(&health, &event, &user) }
    }))
}

async fn with_user(mut options: ConnectOptions, config: &NatsConfig) -> anyhow::Result<ConnectOptions> {
    if let (Some(user), Some(password)) = (&config.nats_user, &config.nats_password) {
        options = options.user_and_password(user.clone(), password.expose().to_owned());
    }
    if let Some(path) = &config.nats_credentials_file {
        let credentials = read("NATS_CREDENTIALS_FILE", path).await?;
        options =
            options.credentials(&credentials).context("NATS_CREDENTIALS_FILE: not a credentials file")?;
    }
    Ok(options)
}

/// The client reads the files at each connect. Reading them here reports an unreadable file at the start.
async fn with_certificates(
    mut options: ConnectOptions,
    config: &NatsConfig,
) -> anyhow::Result<ConnectOptions> {
    if let Some(path) = &config.nats_ca_file {
        let is_pem = read("NATS_CA_FILE", path).await?.contains("-----BEGIN CERTIFICATE-----");
        anyhow::ensure!(is_pem, "NATS_CA_FILE: {} contains no PEM certificate", path.display());
        options = options.add_root_certificates(path.clone()).require_tls(true);
    }
    if let (Some(certificate), Some(key)) = (&config.nats_certificate_file, &config.nats_key_file) {
        read("NATS_CERTIFICATE_FILE", certificate).await?;
        read("NATS_KEY_FILE", key).await?;
        options = options.add_client_certificate(certificate.clone(), key.clone()).require_tls(true);
    }
    Ok(options)
}

async fn read(variable: &str, path: &Path) -> anyhow::Result<String> {
    let text = tokio::fs::read_to_string(path).await;
    text.with_context(|| format!("{variable}: reading {}", path.display()))
}

/// The identity that we present to the server, for error messages.
fn describe_user(config: &NatsConfig) -> String {
    match (&config.nats_user, &config.nats_credentials_file) {
        (Some(user), _) => format!("NATS_USER {user}"),
        (None, Some(path)) => format!("the user of NATS_CREDENTIALS_FILE {}", path.display()),
        (None, None) => "a client without NATS_USER".to_owned(),
    }
}

fn handle_event(health: &Health, event: &Event, user: &str) {
    match event {
        Event::Connected => {
            tracing::info!("connected to NATS");
            health.ok("nats");
        }
        Event::Disconnected => {
            tracing::warn!("lost the connection to NATS; reconnecting");
            health.failed("nats", "not connected: is nats-server running at NATS_URL?");
        }
        // Every clone of the client is dropped, as at the end of a CLI command.
        Event::Closed => tracing::debug!("closed the connection to NATS"),
        Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => tracing::warn!("NATS: {event}"),
        Event::ServerError(ServerError::Other(error)) if error.starts_with("Permissions Violation") => {
            tracing::error!(
                "NATS denies {user} a permission; compare nats/users.conf with the server's copy: {error}"
            );
        }
        Event::ServerError(error) => tracing::warn!("NATS: {error}"),
        // The client reports only the kind of a failure to connect.
        Event::ClientError(ClientError::Other(kind)) => {
            let reason = not_connected(kind, user);
            tracing::warn!("{reason}");
            health.failed("nats", reason);
        }
        Event::ClientError(error) => tracing::warn!("NATS: {error}"),
    }
}

fn not_connected(kind: &str, user: &str) -> String {
    match kind {
        "authorization violation" | "failed signing nonce" => {
            format!("not connected: NATS refuses {user}; check password or credentials")
        }
        "IO error" | "TLS error" => format!(
            "not connected ({kind}): is nats-server running at NATS_URL, and is its certificate signed by NATS_CA_FILE?"
        ),
        kind => format!("not connected ({kind}): is nats-server running at NATS_URL?"),
    }
}
