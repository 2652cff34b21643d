//! Settings for callers who are signed in by a reverse proxy. Either all four are set, or none.

use clap::Args;
use runtime::config::Secret;

use super::parse::http_url;
use crate::token::{Network, ProxyProvider};

/// A shorter HS256 secret can be guessed from one token (RFC 7518, 3.2). authentik generates 128 characters.
const MIN_SECRET_BYTES: usize = 32;

/// A proxy provider in authentik whose tokens are passed on by reverse proxies.
#[derive(Clone, Debug, Args)]
pub struct ProxyConfig {
    /// Client secret of the proxy provider, which verifies its tokens. Requires the other three settings.
    #[arg(
        long = "api-proxy-secret",
        env = "API_PROXY_SECRET",
        hide_env_values = true,
        value_name = "API_PROXY_SECRET",
        value_parser = long_secret,
        requires_all = ["proxy_issuer", "proxy_audience", "trusted_proxies"]
    )]
    pub proxy_secret: Option<Secret>,
    /// The `iss` claim of the proxy provider's tokens, exactly as authentik writes it, including the trailing slash.
    #[arg(
        long = "api-proxy-issuer",
        env = "API_PROXY_ISSUER",
        value_name = "API_PROXY_ISSUER",
        value_parser = http_url,
        requires_all = ["proxy_secret", "proxy_audience", "trusted_proxies"]
    )]
    pub proxy_issuer: Option<String>,
    /// The `aud` claim of the proxy provider's tokens: its client id.
    #[arg(
        long = "api-proxy-audience",
        env = "API_PROXY_AUDIENCE",
        value_name = "API_PROXY_AUDIENCE",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        requires_all = ["proxy_secret", "proxy_issuer", "trusted_proxies"]
    )]
    pub proxy_audience: Option<String>,
    /// Addresses and networks of the only reverse proxies whose tokens are accepted, separated by commas.
    #[arg(
        long = "api-trusted-proxies",
        env = "API_TRUSTED_PROXIES",
        value_name = "API_TRUSTED_PROXIES",
        value_delimiter = ',',
        requires_all = ["proxy_secret", "proxy_issuer", "proxy_audience"]
    )]
    pub trusted_proxies: Option<Vec<Network>>,
}

impl ProxyConfig {
    /// The proxy provider, if it is configured.
    pub fn provider(&self) -> Option<ProxyProvider> {
        let Self { proxy_secret, proxy_issuer, proxy_audience, trusted_proxies } = self.clone();
        Some(ProxyProvider {
            secret: proxy_secret?,
            issuer: proxy_issuer?,
            audience: proxy_audience?,
            trusted: trusted_proxies?,
        })
    }
}

fn long_secret(text: &str) -> Result<Secret, &'static str> {
    let secret: Secret = text.parse()?;
    let is_long = secret.expose().len() >= MIN_SECRET_BYTES;
    is_long
        .then_some(secret)
        .ok_or("expected the client secret of the proxy provider, at least 32 bytes long")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const ISSUER: &str = "https://auth.example.com/application/o/proxied/";
    const ALL: [(&str, &str); 4] = [
        ("--api-proxy-secret", "0123456789abcdef0123456789abcdef"),
        ("--api-proxy-issuer", ISSUER),
        ("--api-proxy-audience", "proxied"),
        ("--api-trusted-proxies", "172.18.0.5,10.0.0.0/8"),
    ];

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        proxy: ProxyConfig,
    }

    fn read(settings: &[(&str, &str)]) -> Result<ProxyConfig, clap::Error> {
        let settings = settings.iter().flat_map(|(name, value)| [*name, *value]);
        Program::try_parse_from(["api"].into_iter().chain(settings)).map(|program| program.proxy)
    }

    #[test]
    fn a_proxy_provider_is_accepted_only_if_all_settings_are_given() {
        assert!(read(&[]).unwrap().provider().is_none());
        let provider = read(&ALL).unwrap().provider().unwrap();
        assert_eq!((provider.issuer.as_str(), provider.audience.as_str()), (ISSUER, "proxied"));
        assert_eq!(provider.trusted, ["172.18.0.5".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
    }

    #[test]
    fn incomplete_settings_stop_the_start_with_an_error_that_names_the_missing_ones() {
        for n_set in 1..(1 << ALL.len()) - 1 {
            let is_set = |n: usize| n_set & (1 << n) != 0;
            let (set, missing): (Vec<_>, Vec<_>) = ALL.into_iter().enumerate().partition(|(n, _)| is_set(*n));
            let set: Vec<_> = set.into_iter().map(|(_, setting)| setting).collect();
            let error = runtime::config::ClapError(read(&set).unwrap_err()).to_string();
            assert!(!error.contains('\n'), "{error}");
            for (_, (flag, _)) in missing {
                let variable = flag.trim_start_matches("--").replace('-', "_").to_uppercase();
                assert!(error.contains(&variable), "{variable} is not named: {error}");
            }
        }
    }

    #[test]
    fn a_short_secret_and_a_proxy_without_an_address_are_refused() {
        for (n, value) in [(0, "too-short"), (0, ""), (1, "proxied"), (2, ""), (3, "nginx"), (3, "")] {
            let mut settings = ALL;
            settings[n].1 = value;
            assert!(read(&settings).is_err(), "{:?}", settings[n]);
        }
    }
}
