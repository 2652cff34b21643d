//! Settings for callers whom a reverse proxy has signed in: all of them, or none.

use clap::Args;
use runtime::config::Secret;

use super::http_url;
use crate::network::Network;
use crate::token::ProxyProvider;

/// A shorter secret can be guessed from one token (RFC 7518, 3.2). authentik makes them of 128 characters.
const MIN_SECRET_BYTES: usize = 32;

/// A proxy provider of authentik, whose tokens reverse proxies pass on.
#[derive(Clone, Debug, Args)]
pub struct ProxyConfig {
    /// Client secret of the proxy provider: its tokens are signed with it. For callers whom a reverse proxy has signed
    /// in; needs the other three settings.
    #[arg(
        long = "api-proxy-secret",
        env = "API_PROXY_SECRET",
        hide_env_values = true,
        value_name = "API_PROXY_SECRET",
        value_parser = long_secret,
        requires_all = ["proxy_issuer", "proxy_audience", "trusted_proxies"]
    )]
    pub proxy_secret: Option<Secret>,
    /// `iss` of those tokens, exactly as authentik writes it: with the slash at its end.
    #[arg(
        long = "api-proxy-issuer",
        env = "API_PROXY_ISSUER",
        value_name = "API_PROXY_ISSUER",
        value_parser = http_url,
        requires_all = ["proxy_secret", "proxy_audience", "trusted_proxies"]
    )]
    pub proxy_issuer: Option<String>,
    /// `aud` of those tokens: the client id of the proxy provider.
    #[arg(
        long = "api-proxy-audience",
        env = "API_PROXY_AUDIENCE",
        value_name = "API_PROXY_AUDIENCE",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        requires_all = ["proxy_secret", "proxy_issuer", "trusted_proxies"]
    )]
    pub proxy_audience: Option<String>,
    /// Addresses and networks of the reverse proxies as this process sees them, separated by commas. From elsewhere
    /// those tokens are refused.
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
    /// The provider, where one is set.
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
    is_long.then_some(secret).ok_or("expected the client secret of the proxy provider, of 32 bytes at least")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::Config;

    const ISSUER: &str = "https://auth.example.com/application/o/proxied/";
    const ALL: [(&str, &str); 4] = [
        ("--api-proxy-secret", "0123456789abcdef0123456789abcdef"),
        ("--api-proxy-issuer", ISSUER),
        ("--api-proxy-audience", "proxied"),
        ("--api-trusted-proxies", "172.18.0.5,10.0.0.0/8"),
    ];

    fn read(settings: &[(&str, &str)]) -> Result<Config, clap::Error> {
        let settings = settings.iter().flat_map(|(name, value)| [*name, *value]);
        Config::try_parse_from(["api", "--authentik-issuer", ISSUER].into_iter().chain(settings))
    }

    #[test]
    fn nothing_is_taken_from_proxies_unless_all_is_set() {
        assert!(read(&[]).unwrap().proxy.provider().is_none());
        let provider = read(&ALL).unwrap().proxy.provider().unwrap();
        assert_eq!((provider.issuer.as_str(), provider.audience.as_str()), (ISSUER, "proxied"));
        assert_eq!(provider.trusted, ["172.18.0.5".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
    }

    #[test]
    fn a_part_of_the_settings_stops_the_start_and_what_is_missing_is_named() {
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
    fn a_secret_that_can_be_guessed_and_a_proxy_without_an_address_are_refused() {
        for (n, value) in [(0, "too-short"), (0, ""), (1, "proxied"), (2, ""), (3, "nginx"), (3, "")] {
            let mut settings = ALL;
            settings[n].1 = value;
            assert!(read(&settings).is_err(), "{:?}", settings[n]);
        }
    }
}
