mod proxy;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use runtime::config::{NatsConfig, TelemetryConfig};

pub use proxy::ProxyConfig;

/// Serves the projections and the live feed of events.
#[derive(Clone, Debug, Parser)]
#[command(name = "api", version)]
pub struct Config {
    /// NATS.
    #[command(flatten)]
    pub nats: NatsConfig,
    /// Logging.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// Where to listen: `host:port`, or a port alone for all interfaces.
    #[arg(long = "api-listen", env = "API_LISTEN", default_value = "8082")]
    pub listen: String,
    /// `iss` of the tokens, exactly as authentik writes it: with the slash at its end.
    #[arg(long = "authentik-issuer", env = "AUTHENTIK_ISSUER", value_parser = http_url)]
    pub issuer: String,
    /// Where authentik publishes the keys of the tokens, as this process reaches it. Defaults to the
    /// issuer's `jwks/`.
    #[arg(long = "authentik-jwks-url", env = "AUTHENTIK_JWKS_URL", value_parser = http_url)]
    pub jwks_url: Option<String>,
    /// `aud` and `azp` of the tokens: the client id of the front end.
    #[arg(long = "authentik-client-id", env = "AUTHENTIK_CLIENT_ID", default_value = "authentik-events")]
    pub client_id: String,
    /// Groups whose members may read everything, by name, separated by commas.
    #[arg(
        long = "api-admin-groups",
        env = "API_ADMIN_GROUPS",
        default_value = "authentik Admins",
        value_delimiter = ','
    )]
    pub admin_groups_setting: Vec<String>,
    /// Origins of front ends that are served elsewhere, separated by commas.
    #[arg(long = "api-cors-origins", env = "API_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins_setting: Vec<String>,
    /// Directory of a front end to serve beside the API.
    #[arg(long = "api-static-dir", env = "API_STATIC_DIR")]
    pub static_dir: Option<PathBuf>,
    /// For how many seconds without NATS protected reads are still answered: a revocation could not be seen.
    #[arg(long = "api-stale-limit", env = "API_STALE_LIMIT", default_value = "30s", value_parser = seconds)]
    pub stale_limit: Duration,
    /// Where the front end sends people who have no account yet.
    #[arg(long = "api-enrollment-url", env = "API_ENROLLMENT_URL", value_parser = http_url)]
    pub enrollment_url: Option<String>,
    /// Callers who come by a reverse proxy.
    #[command(flatten)]
    pub proxy: ProxyConfig,
}

impl Config {
    /// Names of the groups whose members may read everything.
    pub fn admin_groups(&self) -> Vec<String> {
        listed(&self.admin_groups_setting)
    }

    /// Origins that browsers may call from.
    pub fn cors_origins(&self) -> Vec<String> {
        let origins = listed(&self.cors_origins_setting);
        origins.into_iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect()
    }

    /// Where the keys of the tokens are.
    pub fn jwks_url(&self) -> String {
        let beside_issuer = || format!("{}/jwks/", self.issuer.trim_end_matches('/'));
        self.jwks_url.clone().unwrap_or_else(beside_issuer)
    }

    /// Origin of the issuer, as a browser names it.
    pub fn issuer_origin(&self) -> String {
        let origin = reqwest::Url::parse(&self.issuer).map(|url| url.origin().ascii_serialization());
        origin.unwrap_or_default()
    }
}

/// An empty variable gives one empty item, which means none.
fn listed(setting: &[String]) -> Vec<String> {
    let items = setting.iter().map(|item| item.trim().to_owned());
    items.filter(|item| !item.is_empty()).collect()
}

fn http_url(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "expected a URL like https://auth.example.com/application/o/events/";
    let url = reqwest::Url::parse(text).map_err(|_| EXPECTED)?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(text.to_owned())
    } else {
        Err(EXPECTED)
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "expected a number of seconds, such as 30s";
    let number: f64 = text.trim_end_matches('s').parse().map_err(|_| EXPECTED)?;
    Duration::try_from_secs_f64(number).map_err(|_| EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://auth.example.com/application/o/events/";

    fn read(arguments: &[&str]) -> Result<Config, clap::Error> {
        Config::try_parse_from(["api", "--authentik-issuer", ISSUER].iter().chain(arguments))
    }

    #[test]
    fn the_keys_are_beside_the_issuer_whose_slash_stays() {
        let config = read(&[]).unwrap();
        assert_eq!(config.issuer, ISSUER);
        assert_eq!(config.jwks_url(), format!("{ISSUER}jwks/"));
        assert_eq!(config.issuer_origin(), "https://auth.example.com");
    }

    #[test]
    fn lists_are_separated_by_commas_and_an_empty_one_is_empty() {
        let config =
            read(&["--api-admin-groups", "ops, authentik Admins", "--api-cors-origins", ""]).unwrap();
        assert_eq!(config.admin_groups(), ["ops", "authentik Admins"]);
        assert!(config.cors_origins().is_empty());
    }

    #[test]
    fn a_limit_is_given_in_seconds() {
        assert_eq!(read(&["--api-stale-limit", "1.5s"]).unwrap().stale_limit, Duration::from_millis(1500));
        assert_eq!(read(&[]).unwrap().stale_limit, Duration::from_secs(30));
        assert!(read(&["--api-stale-limit", "soon"]).is_err());
    }

    #[test]
    fn an_issuer_that_is_no_url_is_refused() {
        assert!(Config::try_parse_from(["api", "--authentik-issuer", "auth.example.com"]).is_err());
    }
}
