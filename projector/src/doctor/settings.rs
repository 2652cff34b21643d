//! The doctor's settings in addition to those of the projector.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use runtime::config::Secret;

/// What to check.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Token of an authentik administrator, to check transport, rule and mappings, and to send a test
    /// webhook. Prefer a file: other users of this machine can read command lines.
    #[arg(long, env = "DOCTOR_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub admin_token: Option<Secret>,
    /// File with the token of an authentik administrator.
    #[arg(long, env = "DOCTOR_ADMIN_TOKEN_FILE", conflicts_with = "admin_token", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Issuer (`iss`) of the tokens, as set for the API.
    #[arg(long = "authentik-issuer", env = "AUTHENTIK_ISSUER", value_name = "URL")]
    pub issuer: Option<String>,
    /// URL of the keys that sign the tokens, as set for the API. Defaults to `jwks/` under the issuer.
    #[arg(long = "authentik-jwks-url", env = "AUTHENTIK_JWKS_URL", value_name = "URL")]
    pub jwks_url: Option<String>,
    /// Client id (`aud`) of the tokens, as set for the API.
    #[arg(long = "authentik-client-id", env = "AUTHENTIK_CLIENT_ID", default_value = "authentik-events")]
    pub client_id: String,
    /// URL for webhooks, as set for the blueprint. By default, any URL with the ingress's path is accepted.
    #[arg(long = "webhook-url", env = "EVENTS_WEBHOOK_URL", value_name = "URL")]
    pub webhook_url: Option<String>,
    /// Monitoring URL of each NATS server, like `http://127.0.0.1:8222`, separated by commas.
    #[arg(long = "nats-monitor", env = "NATS_MONITOR", value_delimiter = ',', value_name = "URL")]
    pub nats_monitors: Vec<String>,
}

impl Settings {
    /// The administrator's token, if one is set.
    pub(super) fn admin_token(&self) -> anyhow::Result<Option<Secret>> {
        let Some(path) = &self.admin_token_file else { return Ok(self.admin_token.clone()) };
        let context = || format!("DOCTOR_ADMIN_TOKEN_FILE: reading {}", path.display());
        let token = std::fs::read_to_string(path).with_context(context)?;
        token.parse().map(Some).map_err(anyhow::Error::msg).with_context(context)
    }

    /// The monitoring URLs, without the empty item of an empty variable.
    pub(super) fn monitors(&self) -> impl Iterator<Item = &str> {
        let urls = self.nats_monitors.iter().map(|url| url.trim().trim_end_matches('/'));
        urls.filter(|url| !url.is_empty())
    }
}
