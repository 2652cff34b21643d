use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use runtime::config::{NatsConfig, Secret, TelemetryConfig};

/// Records changes in authentik as events, and builds projections from the events.
#[derive(Clone, Debug, Parser)]
#[command(name = "projector", version)]
pub struct Config {
    /// The connection to NATS.
    #[command(flatten)]
    pub nats: NatsConfig,
    /// Logging and tracing.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// Number of replicas of new streams and buckets: 3 in a cluster.
    #[arg(long, env = "NATS_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub nats_replicas: u8,
    /// Address of the server for health and metrics: `host:port`, or only a port for all interfaces.
    #[arg(long = "projector-listen", env = "PROJECTOR_LISTEN", default_value = "8081")]
    pub listen: String,
    /// URL at which this process reaches authentik. Required by `run`.
    #[arg(long, env = "AUTHENTIK_URL", value_parser = http_url)]
    pub authentik_url: Option<String>,
    /// Token of the read-only service account (intent: API). Required by `run`.
    #[arg(long, env = "AUTHENTIK_TOKEN", hide_env_values = true)]
    pub authentik_token: Option<Secret>,
    /// URL of authentik in the `source` of events. Default: `AUTHENTIK_URL`.
    #[arg(long, env = "EVENT_SOURCE", value_parser = http_url)]
    pub event_source: Option<String>,
    /// Public URL of the API, for the `dataschema` of events.
    #[arg(long, env = "PUBLIC_URL", default_value = "http://localhost:3000", value_parser = http_url)]
    pub public_url: String,
    /// Number of hints to process concurrently.
    #[arg(long = "projector-concurrency", env = "PROJECTOR_CONCURRENCY", default_value_t = 32,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
    /// User attributes to record, separated by commas. Default: none, because attributes can hold API keys.
    #[arg(long = "projector-user-attributes", env = "PROJECTOR_USER_ATTRIBUTES", value_delimiter = ',')]
    pub user_attributes_setting: Vec<String>,
    /// Seconds between two full sweeps, which compare all users and groups with the recorded state; 0 disables sweeps.
    #[arg(long = "sweep-interval", env = "SWEEP_INTERVAL", default_value = "3600", value_parser = seconds)]
    pub sweep_interval: Duration,
    /// Seconds after which a hint that changed nothing is processed once more; 0 disables this. Set it above the
    /// replication lag if authentik reads from database replicas.
    #[arg(long = "settle", env = "SETTLE", default_value = "0", value_parser = seconds)]
    pub settle: Duration,
    /// Seconds for which a rebuild keeps the previous bucket of a projection after readers were switched to the new one.
    #[arg(long = "rebuild-grace", env = "REBUILD_GRACE", default_value = "60", value_parser = seconds)]
    pub grace: Duration,
}

/// What the envelope of every event says about this installation.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) source: String,
    pub(crate) schema_base: String,
}

impl Config {
    /// URL and token of authentik. The error names the missing variable.
    pub(crate) fn authentik(&self) -> anyhow::Result<(&str, &Secret)> {
        let url = self.authentik_url.as_deref().context("AUTHENTIK_URL (--authentik-url) is not set")?;
        let token =
            self.authentik_token.as_ref().context("AUTHENTIK_TOKEN (--authentik-token) is not set")?;
        Ok((url, token))
    }

    pub(crate) fn envelope(&self) -> anyhow::Result<Envelope> {
        let (url, _) = self.authentik()?;
        let source = self.event_source.clone().unwrap_or_else(|| url.to_owned());
        Ok(Envelope { source, schema_base: self.public_url.clone() })
    }

    /// The names of the user attributes to record.
    pub fn user_attributes(&self) -> BTreeSet<String> {
        let names = self.user_attributes_setting.iter().map(|name| name.trim().to_owned());
        names.filter(|name| !name.is_empty()).collect()
    }
}

fn http_url(text: &str) -> Result<String, &'static str> {
    let url = text.trim_end_matches('/');
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => Ok(url.to_owned()),
        _ => Err("expected a URL like https://auth.example.com"),
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, &'static str> {
    let number: f64 = text.trim_end_matches('s').parse().map_err(|_| "expected a number of seconds")?;
    Duration::try_from_secs_f64(number).map_err(|_| "expected a number of seconds")
}
