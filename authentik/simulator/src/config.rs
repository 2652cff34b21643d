//! Settings, by flag or environment variable.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// What the simulator needs to know; every field has a value that works on a developer's machine.
#[derive(Clone, Debug, clap::Args)]
// A program may flatten the `Config`s of several crates, and groups are named by the struct.
#[group(skip)]
pub struct Config {
    /// Address to listen on.
    #[arg(id = "SIMULATOR_LISTEN", long = "simulator-listen", env, default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,

    /// Base of `iss` and of all URLs, such as <https://auth.example.com>. Without it they follow the Host
    /// header of each request, as authentik's do.
    #[arg(id = "SIMULATOR_PUBLIC_URL", long = "simulator-public-url", env)]
    pub public_url: Option<String>,

    /// Where events are posted to. Without it none are sent.
    #[arg(id = "SIMULATOR_WEBHOOK_URL", long = "simulator-webhook-url", env)]
    pub webhook_url: Option<String>,

    /// Signs webhooks: `whsec_` and Base64. Without it they are not signed.
    #[arg(id = "SIMULATOR_WEBHOOK_SECRET", long = "simulator-webhook-secret", env, hide_env_values = true)]
    pub webhook_secret: Option<Secret>,

    /// Token of the REST API that may read users, groups and events. Without it there is none.
    #[arg(id = "SIMULATOR_API_TOKEN", long = "simulator-api-token", env, hide_env_values = true)]
    pub api_token: Option<Secret>,

    /// Token of the REST API that may do everything. Without it there is none.
    #[arg(id = "SIMULATOR_ADMIN_TOKEN", long = "simulator-admin-token", env, hide_env_values = true)]
    pub admin_token: Option<Secret>,

    /// The OAuth client.
    #[arg(id = "SIMULATOR_CLIENT_ID", long = "simulator-client-id", env, default_value = "authentik-events")]
    pub client_id: String,

    /// The application: a part of the issuer and of its URLs.
    #[arg(id = "SIMULATOR_APP_SLUG", long = "simulator-app-slug", env, default_value = "authentik-events")]
    pub app_slug: String,

    /// Where browsers may be sent back to, separated by commas. Their origins may ask for tokens.
    #[arg(
        id = "SIMULATOR_REDIRECT_URIS",
        long = "simulator-redirect-uris",
        env,
        value_delimiter = ',',
        default_value = "http://localhost:3000/auth/callback"
    )]
    pub redirect_uris: Vec<String>,

    /// Directory in which state survives the end of the process. Without it everything is in memory.
    #[arg(id = "SIMULATOR_STATE_DIR", long = "simulator-state-dir", env)]
    pub state_dir: Option<PathBuf>,

    /// Start as an authentik that was just installed: an administrator and service accounts with keys of their own.
    #[arg(id = "SIMULATOR_FRESH", long = "simulator-fresh", env)]
    pub fresh: bool,

    /// Multiplies the time between attempts of a webhook, which is 15 s, 30 s, 60 s and so on.
    #[arg(id = "SIMULATOR_RETRY_SCALE", long = "simulator-retry-scale", env, default_value_t = 1.0)]
    pub retry_scale: f64,

    /// Life of access and ID tokens.
    #[arg(
        id = "SIMULATOR_ACCESS_TOKEN_SECONDS",
        long = "simulator-access-token-seconds",
        env,
        default_value_t = 600
    )]
    pub access_token_seconds: u32,

    /// A webhook's first attempt comes at a random time up to this many milliseconds after its event, so
    /// webhooks overtake each other.
    #[arg(
        id = "SIMULATOR_DELIVERY_DELAY_MS",
        long = "simulator-delivery-delay-ms",
        env,
        default_value_t = 300
    )]
    pub delivery_delay_ms: u32,

    /// Webhooks sent at the same time (authentik's default worker: 2).
    #[arg(id = "SIMULATOR_WORKERS", long = "simulator-workers", env, default_value_t = 8)]
    pub workers: usize,
}

impl Default for Config {
    /// What the command line gives without flags and environment.
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
            workers: 8,
        }
    }
}

/// Text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
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
    fn the_defaults_of_code_and_command_line_agree() {
        let line = Line::parse_from(["simulator"]);
        assert_eq!(format!("{:?}", line.config), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let config = Config { admin_token: Some("hush".into()), ..Config::default() };
        assert!(!format!("{config:?}").contains("hush"));
    }
}
