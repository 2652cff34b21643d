//! The shipped configurations, with the test's own addresses and ports.

use std::net::SocketAddr;

use e2e::nginx::Nginx;
use testkit::free_port;

const NGINX: &str = include_str!("../../../deploy/reverse-proxy/nginx.conf");
const NGINX_FORWARD_AUTH: &str = include_str!("../../../deploy/reverse-proxy/nginx-forward-auth.conf");
const SWAG: &str = include_str!("../../../deploy/reverse-proxy/swag/authentik-events.subdomain.conf");
const SWAG_LOCATION: &str = include_str!("../../../deploy/reverse-proxy/swag/authentik-events-location.conf");
const PROXY_MANAGER: &str = include_str!("../../../deploy/reverse-proxy/nginx-proxy-manager.md");
const README: &str = include_str!("../../../deploy/reverse-proxy/README.md");

/// One of the configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    NginxForwardAuth,
    Swag,
    SwagForwardAuth,
    ProxyManager,
    ProxyManagerForwardAuth,
}

pub const PLAIN: [Kind; 3] = [Kind::Nginx, Kind::Swag, Kind::ProxyManager];
pub const FORWARD_AUTH: [Kind; 3] =
    [Kind::NginxForwardAuth, Kind::SwagForwardAuth, Kind::ProxyManagerForwardAuth];

/// Addresses of the API and the outpost.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    pub api: SocketAddr,
    pub outpost: SocketAddr,
}

/// A real nginx with one of the configurations.
pub struct Site {
    pub kind: Kind,
    pub url: String,
    /// The URL of the plain HTTP listener, which redirects.
    pub redirecting_url: String,
    pub nginx: Nginx,
}

impl Site {
    pub async fn start(kind: Kind, places: Places) -> Self {
        Self::start_with(kind, places, |text| text).await
    }

    /// Starts a changed copy of the shipped configuration.
    pub async fn start_with(kind: Kind, places: Places, change: impl Fn(String) -> String) -> Self {
        let (port, redirecting_port) = (free_port(), free_port());
        let own = Own { port, redirecting_port, places };
        let mut files = own.files(kind);
        files[0].1 = change(std::mem::take(&mut files[0].1));
        let nginx = Nginx::start(&files).await;
        let local = |port| format!("http://127.0.0.1:{port}");
        Self { kind, url: local(port), redirecting_url: local(redirecting_port), nginx }
    }
}

/// Adds the documented block that publishes ingress, before the first location.
pub fn publishing_webhooks(site: &str, ingress: &str) -> String {
    let block = code_after(README, "## Webhooks");
    let block = put(&block, "http://ingress:8080", ingress);
    site.replacen("    location / {", &format!("{block}\n    location / {{"), 1)
}

/// The nginx directives that apply to the feed.
pub fn feed_directives(kind: Kind) -> String {
    let (text, begin) = match kind {
        Kind::Nginx => (NGINX.to_owned(), "location = /api/events/stream {"),
        Kind::NginxForwardAuth => (NGINX_FORWARD_AUTH.to_owned(), "location = /api/events/stream {"),
        // SWAG's proxy.conf sets the timeout.
        Kind::Swag | Kind::SwagForwardAuth => {
            return SWAG_LOCATION.to_owned() + include_str!("swag/proxy.conf");
        }
        Kind::ProxyManager => (code_after(PROXY_MANAGER, "## Plain"), "location / {"),
        Kind::ProxyManagerForwardAuth => (code_after(PROXY_MANAGER, "## Forward auth"), "location / {"),
    };
    text.split(begin).nth(1).unwrap().split("\n    }").next().unwrap().split("\n}").next().unwrap().to_owned()
}

/// The ports of one site, and the addresses of its upstreams.
struct Own {
    port: u16,
    redirecting_port: u16,
    places: Places,
}

impl Own {
    fn files(&self, kind: Kind) -> Vec<(&'static str, String)> {
        match kind {
            Kind::Nginx => vec![("site.conf", self.nginx(NGINX))],
            Kind::NginxForwardAuth => {
                let outpost = format!("server {};", self.places.outpost);
                let text = put(NGINX_FORWARD_AUTH, "server authentik-server:9000;", &outpost);
                vec![("site.conf", self.nginx(&text))]
            }
            Kind::Swag => self.swag(SWAG),
            Kind::SwagForwardAuth => {
                let enabled =
                    put(SWAG, "#include /config/nginx/authentik-", "include /config/nginx/authentik-");
                self.swag(&enabled)
            }
            Kind::ProxyManager => {
                vec![("site.conf", self.proxy_manager(&code_after(PROXY_MANAGER, "## Plain")))]
            }
            Kind::ProxyManagerForwardAuth => {
                let text = code_after(PROXY_MANAGER, "## Forward auth");
                let text = put(&text, "authentik-server:9000", &self.places.outpost.to_string());
                vec![("site.conf", self.proxy_manager(&text))]
            }
        }
    }

    fn nginx(&self, text: &str) -> String {
        let text = put(text, "server api:8082;", &format!("server {};", self.places.api));
        let text = put(&text, "listen 80;", &format!("listen 127.0.0.1:{};", self.redirecting_port));
        let text = put(&text, "    listen [::]:80;\n", "");
        without(&self.without_tls(&text), "ssl_certificate")
    }

    /// The files as in SWAG's container, with its includes.
    fn swag(&self, text: &str) -> Vec<(&'static str, String)> {
        let map = "map $http_upgrade $connection_upgrade {\n    default upgrade;\n    '' close;\n}\n";
        let text = put(
            text,
            "$upstream_app authentik-events-frontend-1;",
            &format!("$upstream_app {};", self.places.api.ip()),
        );
        let text = put(&text, "$upstream_port 8080;", &format!("$upstream_port {};", self.places.api.port()));
        let outpost = include_str!("swag/authentik-server.conf");
        let outpost = put(
            outpost,
            "$upstream_authentik authentik-server;",
            &format!("$upstream_authentik {};", self.places.outpost.ip()),
        );
        let outpost = put(&outpost, ":9000", &format!(":{}", self.places.outpost.port()));
        let files = vec![
            ("site.conf", map.to_owned() + &self.without_tls(&text)),
            ("authentik-events-location.conf", SWAG_LOCATION.to_owned()),
            ("authentik-server.conf", outpost),
            ("authentik-location.conf", include_str!("swag/authentik-location.conf").to_owned()),
            ("proxy.conf", include_str!("swag/proxy.conf").to_owned()),
            ("resolver.conf", String::new()),
            ("ssl.conf", String::new()),
        ];
        files.into_iter().map(|(name, text)| (name, text.replace("/config/nginx/", ""))).collect()
    }

    /// The server block that Nginx Proxy Manager generates around the text in "Advanced", with websocket support.
    fn proxy_manager(&self, advanced: &str) -> String {
        let (port, api) = (self.port, self.places.api);
        format!(
            "server {{\n\
             set $forward_scheme http;\n\
             set $server \"{}\";\n\
             set $port {};\n\
             listen 127.0.0.1:{port};\n\
             server_name events.example.com;\n\
             proxy_set_header Upgrade $http_upgrade;\n\
             proxy_set_header Connection $http_connection;\n\
             proxy_http_version 1.1;\n\
             {advanced}\n}}\n",
            api.ip(),
            api.port()
        )
    }

    fn without_tls(&self, text: &str) -> String {
        let text = put(text, "listen 443 ssl;", &format!("listen 127.0.0.1:{};", self.port));
        put(&text, "    listen [::]:443 ssl;\n", "")
    }
}

/// Replaces a shipped value, which must exist, by the test's own.
fn put(text: &str, shipped: &str, own: &str) -> String {
    assert!(text.contains(shipped), "the shipped configuration does not contain {shipped:?}");
    text.replace(shipped, own)
}

fn without(text: &str, directive: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim().starts_with(directive));
    lines.collect::<Vec<_>>().join("\n")
}

/// The first nginx block under a heading.
fn code_after(text: &str, heading: &str) -> String {
    let section = text.split(heading).nth(1).unwrap();
    section.split("```nginx\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}
