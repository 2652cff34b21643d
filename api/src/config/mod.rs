//! Settings of the API, from flags and environment variables.

mod parse;
mod proxy;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use runtime::config::{NatsConfig, TelemetryConfig};

use parse::{http_url, http_url_or_nothing, non_empty_items, seconds};
pub use proxy::ProxyConfig;

/// Serves the projections and the live event feed.
#[derive(Clone, Debug, Parser)]
#[command(name = "api", version)]
pub struct Config {
    #[command(flatten)]
    pub nats: NatsConfig,
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// Address to listen on: `host:port`, or only a port for all interfaces.
    #[arg(long = "api-listen", env = "API_LISTEN", default_value = "8082")]
    pub listen: String,
    /// The `iss` claim of accepted tokens, exactly as authentik writes it, including the trailing slash.
    #[arg(long = "authentik-issuer", env = "AUTHENTIK_ISSUER", value_parser = http_url)]
    pub issuer: String,
    /// URL of authentik's JWKS, as reachable from this process. Defaults to the issuer's `jwks/`.
    #[arg(long = "authentik-jwks-url", env = "AUTHENTIK_JWKS_URL", value_parser = http_url)]
    pub jwks_url: Option<String>,
    /// The `aud` and `azp` claims of accepted tokens: the client id of the front end.
    #[arg(long = "authentik-client-id", env = "AUTHENTIK_CLIENT_ID", default_value = "authentik-events")]
    pub client_id: String,
    /// Names of the groups whose members are admins and may read everything, separated by commas.
    #[arg(
        long = "api-admin-groups",
        env = "API_ADMIN_GROUPS",
        default_value = "authentik Admins",
        value_delimiter = ','
    )]
    pub admin_groups_setting: Vec<String>,
    /// Origins of front ends that are served from elsewhere, separated by commas.
    #[arg(long = "api-cors-origins", env = "API_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins_setting: Vec<String>,
    /// Directory of a front end to serve along with the API.
    #[arg(long = "api-static-dir", env = "API_STATIC_DIR")]
    pub static_dir: Option<PathBuf>,
    /// Seconds without reading the event log after which reads are refused, because revocations would be missed.
    #[arg(long = "api-stale-limit", env = "API_STALE_LIMIT", default_value = "30s", value_parser = seconds)]
    pub stale_limit: Duration,
    /// URL where people without an account can sign up; the front end links to it. Empty for no sign-up.
    #[arg(long = "api-enrollment-url", env = "API_ENROLLMENT_URL", value_parser = http_url_or_nothing)]
    pub enrollment_url: Option<String>,
    #[command(flatten)]
    pub proxy: ProxyConfig,
}

impl Config {
    /// Names of the admin groups.
    pub fn admin_groups(&self) -> Vec<String> {
        non_empty_items(&self.admin_groups_setting)
    }

    /// Origins whose scripts may call the API, without a trailing slash.
    pub fn cors_origins(&self) -> Vec<String> {
        let origins = non_empty_items(&self.cors_origins_setting);
        origins.into_iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect()
    }

    /// URL of the keys that verify tokens.
    pub fn jwks_url(&self) -> String {
        let below_issuer = || format!("{}/jwks/", self.issuer.trim_end_matches('/'));
        self.jwks_url.clone().unwrap_or_else(below_issuer)
    }

    /// Origin of the issuer, in the form that browsers use.
    pub fn issuer_origin(&self) -> String {
        let origin = reqwest::Url::parse(&self.issuer).map(|url| url.origin().ascii_serialization());
        origin.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://auth.example.com/application/o/events/";

    fn read(arguments: &[&str]) -> Result<Config, clap::Error> {
        Config::try_parse_from(["api", "--authentik-issuer", ISSUER].iter().chain(arguments))
    }

    #[test]
    fn the_issuer_keeps_its_slash_and_the_jwks_url_defaults_to_a_path_below_it() {
        let config = read(&[]).unwrap();
        assert_eq!(config.issuer, ISSUER);
        assert_eq!(config.jwks_url(), format!("{ISSUER}jwks/"));
        assert_eq!(config.issuer_origin(), "https://auth.example.com");
    }

    #[test]
    fn lists_are_separated_by_commas_and_an_empty_setting_is_an_empty_list() {
        let config =
            read(&["--api-admin-groups", "ops, authentik Admins", "--api-cors-origins", ""]).unwrap();
        assert_eq!(config.admin_groups(), ["ops", "authentik Admins"]);
        assert!(config.cors_origins().is_empty());
    }

    #[test]
    fn the_stale_limit_is_given_in_seconds() {
        assert_eq!(read(&["--api-stale-limit", "1.5s"]).unwrap().stale_limit, Duration::from_millis(1500));
        assert_eq!(read(&[]).unwrap().stale_limit, Duration::from_secs(30));
        assert!(read(&["--api-stale-limit", "soon"]).is_err());
    }

    #[test]
    fn an_issuer_that_is_not_a_url_is_refused() {
        assert!(Config::try_parse_from(["api", "--authentik-issuer", "auth.example.com"]).is_err());
    }
}
