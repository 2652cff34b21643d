//! The NATS connection of a subcommand, which gives up where the service would keep trying.

use std::time::Duration;

use anyhow::Context;
use runtime::health::Health;
use runtime::nats::Nats;

use crate::Config;

/// How long to wait for a server.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to NATS. Fails after 5 s without a connection, so that the operator sees the problem.
pub(crate) async fn connect(config: &Config) -> anyhow::Result<Nats> {
    let health = Health::default();
    let nats = Nats::connect(&config.nats, "projector-command", &health).await?;
    let mut connects = nats.connects();
    let connected = tokio::time::timeout(TIMEOUT, connects.wait_for(|n_connects| *n_connects > 0)).await;
    // The message does not show the URL, which can contain a password.
    connected.with_context(|| match health.failures().get("nats") {
        Some(reason) => format!("no NATS server answers at NATS_URL: {reason}"),
        None => "no NATS server answers at NATS_URL".to_owned(),
    })??;
    Ok(nats)
}
