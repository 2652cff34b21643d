//! The shipped configurations of reverse proxies, each in a real nginx.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod site;
mod stand_ins;
mod through;

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;

use site::{FORWARD_AUTH, Kind, PLAIN, Places, Site, feed_directives};
use stand_ins::{Outpost, cookie, mirror};

/// Headers that only an outpost may set. nginx drops names with underscores, which others treat as equal.
const CLAIMED: [&str; 14] = [
    "X-authentik-username",
    "X-authentik-groups",
    "X-authentik-entitlements",
    "X-authentik-email",
    "X-authentik-name",
    "X-authentik-uid",
    "X-authentik-jwt",
    "X-authentik-meta-jwks",
    "X-authentik-meta-outpost",
    "X-authentik-meta-provider",
    "X-authentik-meta-app",
    "X-authentik-meta-version",
    "X_authentik_jwt",
    "X_authentik_username",
];

/// A client that does not follow redirects.
fn browser() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

/// Adds all headers of an outpost with forged values.
fn forged(request: RequestBuilder) -> RequestBuilder {
    CLAIMED.into_iter().fold(request, |request, name| request.header(name, "forged"))
}

/// Version and headers of the request as it reached the mirror in place of the API.
async fn mirrored(request: RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{}", answer.url());
    answer.json().await.unwrap()
}

fn check_nothing_forged(site: &Site, path: &str, mirrored: &Value) {
    let headers = mirrored["headers"].as_object().unwrap();
    for (name, values) in headers {
        assert!(!values.to_string().contains("forged"), "{:?} {path}: {name}", site.kind);
    }
    assert_eq!(mirrored["version"], "HTTP/1.1", "{:?} {path}", site.kind);
}

const PATHS: [&str; 5] = ["/", "/assets/page.js", "/api/me", "/api/events/stream", "/api/docs"];

#[tokio::test(flavor = "multi_thread")]
async fn forged_headers_of_a_client_are_removed() {
    let outpost = Outpost::start().await;
    let places = Places { api: mirror().await, outpost: outpost.address };
    for kind in PLAIN {
        let site = Site::start(kind, places).await;
        for path in PATHS {
            let request = forged(browser().get(format!("{}{path}", site.url))).bearer_auth("own");
            let mirrored = mirrored(request).await;
            check_nothing_forged(&site, path, &mirrored);
            let claims =
                mirrored["headers"].as_object().unwrap().keys().filter(|name| name.contains("authentik"));
            assert_eq!(claims.count(), 0, "{kind:?} {path}");
            assert_eq!(mirrored["headers"]["authorization"][0], "Bearer own");
        }
        assert_eq!(site.nginx.log(), "", "{kind:?}");
    }
    assert_eq!(outpost.take_requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_the_outpost_replace_forged_headers_of_a_client() {
    let outpost = Outpost::start().await;
    let token = outpost.sign_in("mary", "a hash");
    let places = Places { api: mirror().await, outpost: outpost.address };
    for kind in FORWARD_AUTH {
        let site = Site::start(kind, places).await;
        for path in PATHS {
            let request = forged(browser().get(format!("{}{path}?a=b", site.url)));
            let request = request.header("X-Original-URI", "/elsewhere").header("Cookie", cookie("mary"));
            let mirrored = mirrored(request).await;
            check_nothing_forged(&site, path, &mirrored);
            let headers = &mirrored["headers"];
            if kind == Kind::ProxyManagerForwardAuth {
                assert_eq!(headers["authorization"], serde_json::json!([format!("Bearer {token}")]));
                assert_eq!(headers["x-authentik-jwt"], Value::Null);
            } else {
                assert_eq!(headers["x-authentik-jwt"], serde_json::json!([token]));
                assert_eq!(headers["x-authentik-username"], serde_json::json!(["mary"]));
                assert_eq!(headers["x-authentik-groups"], serde_json::json!(["navy|engineers"]));
            }
            let requests = outpost.take_requests();
            assert_eq!(requests.len(), 1, "{kind:?} {path}");
            assert_eq!(requests[0]["x-original-url"], format!("{}{path}?a=b", site.url));
            // SWAG's own file lets this header pass.
            if kind != Kind::SwagForwardAuth {
                assert!(!requests[0].contains_key("x-original-uri"), "{kind:?} {path}");
            }
        }
        assert_eq!(site.nginx.log(), "", "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_signed_in_is_redirected_on_pages_and_gets_401_on_the_api() {
    let outpost = Outpost::start().await;
    let places = Places { api: mirror().await, outpost: outpost.address };
    for kind in FORWARD_AUTH {
        let site = Site::start(kind, places).await;
        let get = |path: &str| forged(browser().get(format!("{}{path}", site.url)));
        for path in ["/", "/users?search=mary", "/auth/callback"] {
            let answer = get(path).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 302, "{kind:?} {path}");
            let expected = format!("{0}/outpost.goauthentik.io/start?rd={0}{path}", site.url);
            assert_eq!(answer.headers()["location"], expected, "{kind:?}");
            assert_eq!(answer.headers()["set-cookie"], "authentik_proxy=not-yet", "{kind:?}");
            let start = browser().get(expected).send().await.unwrap();
            let authentik =
                format!("https://auth.example.com/application/o/authorize/?rd={}{path}", site.url);
            assert_eq!(start.headers()["location"], authentik, "{kind:?}");
        }
        for path in ["/api/me", "/api/events/stream?after=now", "/api/openapi.json"] {
            let answer = get(path).bearer_auth("forged").send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 401, "{kind:?} {path}");
            assert_eq!(answer.headers()["www-authenticate"], "Bearer", "{kind:?}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json", "{kind:?}");
            assert_eq!(answer.json::<Value>().await.unwrap()["status"], 401);
        }
        assert_eq!(site.nginx.log(), "", "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_paths_are_hidden() {
    let outpost = Outpost::start().await;
    outpost.sign_in("mary", "a hash");
    let places = Places { api: mirror().await, outpost: outpost.address };
    for kind in PLAIN.into_iter().chain(FORWARD_AUTH) {
        let site = Site::start(kind, places).await;
        let status = async |path: &str| {
            let request = browser().get(format!("{}{path}", site.url)).header("Cookie", cookie("mary"));
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(status("/").await, 200, "{kind:?}");
        for path in ["/metrics", "/healthz", "/readyz", "//metrics", "/%6detrics", "/api/../metrics?a"] {
            assert_eq!(status(path).await, 404, "{kind:?} {path}");
        }
        if FORWARD_AUTH.contains(&kind) {
            // This path would reveal the token to the browser.
            assert_eq!(status("/outpost.goauthentik.io/auth/nginx").await, 404, "{kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_nginx_only_redirects() {
    let places = Places { api: mirror().await, outpost: Outpost::start().await.address };
    for kind in [Kind::Nginx, Kind::NginxForwardAuth] {
        let site = Site::start(kind, places).await;
        let answer = browser().get(format!("{}/api/me?a=b", site.redirecting_url)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 301, "{kind:?}");
        assert_eq!(answer.headers()["location"], "https://events.example.com/api/me?a=b", "{kind:?}");
    }
}

#[test]
fn an_idle_feed_is_kept_open_for_several_heartbeats() {
    for kind in PLAIN.into_iter().chain(FORWARD_AUTH) {
        let said = feed_directives(kind);
        let timeout = said.split("proxy_read_timeout ").nth(1).unwrap().split(';').next().unwrap();
        let seconds = timeout
            .strip_suffix('h')
            .map_or(timeout.parse().ok(), |hours| hours.parse::<u64>().ok().map(|hours| hours * 3600));
        let timeout = Duration::from_secs(seconds.unwrap());
        // nginx's default is one minute; the API sends a heartbeat every 15 seconds.
        assert!(timeout >= 4 * Duration::from_mins(1), "{kind:?}: {timeout:?}");
        for directive in ["proxy_buffering off;", "proxy_cache off;", "gzip off;"] {
            assert!(said.contains(directive), "{kind:?}: {directive}");
        }
    }
}
