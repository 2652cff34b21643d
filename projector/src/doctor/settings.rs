//! What the doctor is told beside the settings of the projector.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use runtime::config::Secret;

/// What to look at.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Token of an administrator of authentik, to look at transport, rule and mappings, and to send a test through
    /// them. Others see it in the list of processes: better give a file.
    #[arg(long, env = "DOCTOR_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub admin_token: Option<Secret>,
    /// File with that token.
    #[arg(long, env = "DOCTOR_ADMIN_TOKEN_FILE", conflicts_with = "admin_token", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// As the API has it: `iss` of the tokens.
    #[arg(long = "authentik-issuer", env = "AUTHENTIK_ISSUER", value_name = "URL")]
    pub issuer: Option<String>,
    /// As the API has it: where the keys of the tokens are. Defaults to the issuer's `jwks/`.
    #[arg(long = "authentik-jwks-url", env = "AUTHENTIK_JWKS_URL", value_name = "URL")]
    pub jwks_url: Option<String>,
    /// As the API has it: `aud` of the tokens.
    #[arg(long = "authentik-client-id", env = "AUTHENTIK_CLIENT_ID", default_value = "authentik-events")]
    pub client_id: String,
    /// Where authentik is to post to, as the blueprint is told. Without it any address of an ingress will do.
    #[arg(long = "webhook-url", env = "EVENTS_WEBHOOK_URL", value_name = "URL")]
    pub webhook_url: Option<String>,
    /// Monitoring of each NATS server (`http://127.0.0.1:8222`), separated by commas: it alone tells `sync_interval`.
    #[arg(long = "nats-monitor", env = "NATS_MONITOR", value_delimiter = ',', value_name = "URL")]
    pub nats_monitors: Vec<String>,
}

impl Settings {
    /// The administrator's token, if there is one.
    pub(super) fn admin_token(&self) -> anyhow::Result<Option<Secret>> {
        let Some(path) = &self.admin_token_file else { return Ok(self.admin_token.clone()) };
        let told = || format!("DOCTOR_ADMIN_TOKEN_FILE: reading {}", path.display());
        let token = std::fs::read_to_string(path).with_context(told)?;
        token.parse().map(Some).map_err(anyhow::Error::msg).with_context(told)
    }

    /// An empty variable gives one empty item, which means none.
    pub(super) fn monitors(&self) -> impl Iterator<Item = &str> {
        let urls = self.nats_monitors.iter().map(|url| url.trim().trim_end_matches('/'));
        urls.filter(|url| !url.is_empty())
    }
}
