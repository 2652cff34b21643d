//! Settings of the ingress.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Parser};
use runtime::config::{NatsConfig, TelemetryConfig};

use crate::signature::Key;

/// Fewest characters of a secret without its prefix: 16 bytes in Base64. A shorter secret could be guessed.
const MIN_SECRET_CHARS: usize = 22;

/// Stores authentik's webhooks in NATS JetStream.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// Address to listen on: a port, or `host:port`.
    #[arg(long, env = "INGRESS_LISTEN", default_value = "8080")]
    pub ingress_listen: String,
    /// Secrets that authentik signs webhooks with (`whsec_…`), separated by commas; several during a rotation.
    #[arg(
        long,
        env = "WEBHOOK_SECRETS",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true
    )]
    pub webhook_secrets: WebhookSecrets,
    /// Whether to accept webhooks without a signature.
    #[arg(
        long,
        env = "WEBHOOK_ALLOW_UNSIGNED",
        action = ArgAction::Set,
        value_parser = BoolishValueParser::new(),
        num_args = 0..=1,
        default_value = "false",
        default_missing_value = "true"
    )]
    pub webhook_allow_unsigned: bool,
    /// Settings of the connection to NATS.
    #[command(flatten)]
    pub nats: NatsConfig,
    /// Settings of logging.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// The keys that verify webhooks. Empty only if unsigned webhooks are accepted.
    pub(crate) fn keys(&self) -> anyhow::Result<Vec<Key>> {
        let secrets = &self.webhook_secrets.0;
        if secrets.is_empty() && !self.webhook_allow_unsigned {
            bail!(
                "WEBHOOK_SECRETS is not set: set it to the secret that authentik signs with (whsec_…), \
                 or accept unsigned webhooks with WEBHOOK_ALLOW_UNSIGNED=true"
            );
        }
        let numbered = secrets.iter().zip(1..);
        numbered
            .map(|(secret, n)| key(secret).with_context(|| format!("WEBHOOK_SECRETS: secret {n}")))
            .collect()
    }
}

fn key(secret: &str) -> anyhow::Result<Key> {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    ensure!(encoded.len() >= MIN_SECRET_CHARS, "the secret is shorter than 16 bytes");
    Key::parse(secret).context("the secret is not whsec_ followed by Base64")
}

/// Secrets as configured, not yet checked: clap's errors would show a value that fails to parse. `Debug` hides them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WebhookSecrets(Vec<String>);

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSecrets({})", self.0.len())
    }
}

impl FromStr for WebhookSecrets {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        // A file may hold one secret per line.
        let secrets = text.split(|c: char| c == ',' || c.is_whitespace());
        Ok(Self(secrets.filter(|secret| !secret.is_empty()).map(str::to_owned).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "whsec_bGFiLXdlYmhvb2stc2VjcmV0LTAxMjM0NTY3ODlhYmNkZWY=";

    fn config(arguments: &[&str]) -> Config {
        Config::try_parse_from(std::iter::once(&"ingress").chain(arguments)).unwrap()
    }

    fn refusal(arguments: &[&str]) -> String {
        let error = config(arguments).keys().err().expect("the settings are refused");
        let line = format!("{error:#}");
        assert!(!line.contains('\n'), "{line}");
        line
    }

    #[test]
    fn without_secrets_the_error_says_what_to_set() {
        let line = refusal(&[]);
        assert!(line.contains("WEBHOOK_SECRETS") && line.contains("WEBHOOK_ALLOW_UNSIGNED"), "{line}");
    }

    #[test]
    fn unsigned_webhooks_need_no_secret() {
        for allowed in
            ["--webhook-allow-unsigned", "--webhook-allow-unsigned=true", "--webhook-allow-unsigned=1"]
        {
            assert!(config(&[allowed]).keys().unwrap().is_empty());
        }
    }

    #[test]
    fn an_invalid_secret_is_named_by_its_number_and_never_shown() {
        for wrong in [
            "whsec_not base64 but long enough",
            "whsec_####################################",
            "whsec_",
            "secret",
        ] {
            let line = refusal(&["--webhook-secrets", &format!("{GOOD},{wrong}")]);
            assert!(line.starts_with("WEBHOOK_SECRETS: secret 2: "), "{line}");
            assert!(!line.contains("base64 but") && !line.contains('#'), "{line}");
        }
    }

    #[test]
    fn several_secrets_are_read_and_debug_shows_none() {
        let config = config(&["--webhook-secrets", &format!("{GOOD}, {GOOD}\n")]);
        assert_eq!(config.keys().unwrap().len(), 2);
        assert!(!format!("{config:?}").contains("whsec"), "{config:?}");
    }
}
