//! The settings: each is a flag and an environment variable.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The settings of a simulator. The defaults work on a developer's machine.
#[derive(Clone, Debug, clap::Args)]
// clap names a group after its struct, so a program that flattens two `Config`s would define one group twice.
#[group(skip)]
pub struct Config {
    /// The address to listen on. Port 0 picks a free port.
    #[arg(id = "SIMULATOR_LISTEN", long = "simulator-listen", env, default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,

    /// The base of `iss` and of all URLs, such as <https://auth.example.com>. By default the `Host` header of
    /// each request decides, as in authentik.
    #[arg(id = "SIMULATOR_PUBLIC_URL", long = "simulator-public-url", env)]
    pub public_url: Option<String>,

    /// The URL that webhooks are posted to. By default no webhook is sent.
    #[arg(id = "SIMULATOR_WEBHOOK_URL", long = "simulator-webhook-url", env)]
    pub webhook_url: Option<String>,

    /// The secret that signs webhooks: `whsec_` followed by Base64. By default webhooks are unsigned.
    #[arg(id = "SIMULATOR_WEBHOOK_SECRET", long = "simulator-webhook-secret", env, hide_env_values = true)]
    pub webhook_secret: Option<Secret>,

    /// The REST API token that may read users, groups and events. By default no such token exists.
    #[arg(id = "SIMULATOR_API_TOKEN", long = "simulator-api-token", env, hide_env_values = true)]
    pub api_token: Option<Secret>,

    /// The REST API token that may do everything. By default no such token exists.
    #[arg(id = "SIMULATOR_ADMIN_TOKEN", long = "simulator-admin-token", env, hide_env_values = true)]
    pub admin_token: Option<Secret>,

    /// The id of the OAuth client.
    #[arg(id = "SIMULATOR_CLIENT_ID", long = "simulator-client-id", env, default_value = "authentik-events")]
    pub client_id: String,

    /// The slug of the application, which is part of the issuer and of its URLs.
    #[arg(id = "SIMULATOR_APP_SLUG", long = "simulator-app-slug", env, default_value = "authentik-events")]
    pub app_slug: String,

    /// The redirect URIs of the OAuth client, separated by commas. Pages of their origins may request tokens.
    #[arg(
        id = "SIMULATOR_REDIRECT_URIS",
        long = "simulator-redirect-uris",
        env,
        value_delimiter = ',',
        default_value = "http://localhost:3000/auth/callback"
    )]
    pub redirect_uris: Vec<String>,

    /// The directory that keeps the state across restarts. By default the state is in memory only.
    #[arg(id = "SIMULATOR_STATE_DIR", long = "simulator-state-dir", env)]
    pub state_dir: Option<PathBuf>,

    /// Start like a newly installed authentik: only an administrator and service accounts, with new UUIDs.
    #[arg(id = "SIMULATOR_FRESH", long = "simulator-fresh", env)]
    pub fresh: bool,

    /// A factor for the backoff between the attempts of a webhook, which is 15 s, 30 s, 60 s and so on.
    #[arg(id = "SIMULATOR_RETRY_SCALE", long = "simulator-retry-scale", env, default_value_t = 1.0)]
    pub retry_scale: f64,

    /// The lifetime of access and ID tokens, in seconds.
    #[arg(
        id = "SIMULATOR_ACCESS_TOKEN_SECONDS",
        long = "simulator-access-token-seconds",
        env,
        default_value_t = 600
    )]
    pub access_token_seconds: u32,

    /// The longest delay between an event and the first attempt of its webhook, in milliseconds. The delay is
    /// random, so webhooks arrive out of order.
    #[arg(
        id = "SIMULATOR_DELIVERY_DELAY_MS",
        long = "simulator-delivery-delay-ms",
        env,
        default_value_t = 300
    )]
    pub delivery_delay_ms: u32,
}

impl Default for Config {
    /// The values that an empty command line and environment give.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9000)),
            public_url: None,
            webhook_url: None,
            webhook_secret: None,
            api_token: None,
            admin_token: None,
            client_id: "authentik-events".to_owned(),
            app_slug: "authentik-events".to_owned(),
            redirect_uris: vec!["http://localhost:3000/auth/callback".to_owned()],
            state_dir: None,
            fresh: false,
            retry_scale: 1.0,
            access_token_seconds: 600,
            delivery_delay_ms: 300,
        }
    }
}

/// A text that `Debug` hides.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The hidden text.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn the_default_config_equals_an_empty_command_line() {
        let line = Line::parse_from(["simulator"]);
        assert_eq!(format!("{:?}", line.config), format!("{:?}", Config::default()));
    }

    #[test]
    fn debug_output_hides_secrets() {
        let config = Config { admin_token: Some("hush".into()), ..Config::default() };
        assert!(!format!("{config:?}").contains("hush"));
    }
}
