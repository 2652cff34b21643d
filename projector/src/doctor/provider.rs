//! Checks the OAuth provider whose tokens the API accepts.

use form_urlencoded::byte_serialize;
use reqwest::header::{CONTENT_TYPE, HOST};
use reqwest::{Client, RequestBuilder, Url};

use super::finding::Verdict;
use super::http::{client_without_token, send};
use super::verdicts::oidc;
use super::{Examination, Settings};

const CHECKS: [&str; 3] = ["issuer", "signing-key", "client-id"];

pub(super) async fn examine(examination: &mut Examination<'_>, settings: &Settings) {
    let issuer = settings.issuer.as_deref().filter(|issuer| !issuer.is_empty());
    let (Some(issuer), Ok(client)) = (issuer, client_without_token()) else {
        examination.skip(&CHECKS, "AUTHENTIK_ISSUER (--authentik-issuer) is not set");
        return;
    };
    let base = issuer.trim_end_matches('/');
    let jwks_url = settings.jwks_url.clone().filter(|url| !url.is_empty());
    let internal = jwks_url.as_deref().and_then(|url| InternalAddress::new(issuer, url));
    let provider = ProviderClient { client, internal };
    let discovery = send(provider.get(&format!("{base}/.well-known/openid-configuration"))).await;
    examination.record("issuer", oidc::issuer(issuer, &discovery));
    let discovered = |field: &str| discovery.as_ref().ok()?.body[field].as_str().map(str::to_owned);

    // The URL that the API uses. Without a discovery document, this check would repeat the issuer's fault.
    match jwks_url.or_else(|| discovered("jwks_uri").map(|_| format!("{base}/jwks/"))) {
        Some(url) => {
            let jwks = send(provider.get(&url)).await;
            examination.record("signing-key", oidc::signing_key(&jwks));
        }
        None => examination.skip(&["signing-key"], "the issuer has no discovery document"),
    }
    let verdict = match discovered("token_endpoint") {
        Some(url) => {
            let client_id: String = byte_serialize(settings.client_id.as_bytes()).collect();
            let form = format!("grant_type=authorization_code&client_id={client_id}");
            let request =
                provider.post(&url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
            oidc::client(&settings.client_id, &send(request).await)
        }
        None => Verdict::skipped("the issuer has no discovery document"),
    };
    examination.record("client-id", verdict);
}

/// Sends requests to the provider, through its internal address if there is one.
struct ProviderClient {
    client: Client,
    internal: Option<InternalAddress>,
}

impl ProviderClient {
    fn get(&self, url: &str) -> RequestBuilder {
        self.request(url, Client::get)
    }

    fn post(&self, url: &str) -> RequestBuilder {
        self.request(url, Client::post)
    }

    fn request(&self, url: &str, method: fn(&Client, String) -> RequestBuilder) -> RequestBuilder {
        let address = self.internal.as_ref();
        match address.and_then(|address| Some((address, url.strip_prefix(&address.public)?))) {
            Some((address, path)) => {
                let request = method(&self.client, format!("{}{path}", address.internal));
                request.header(HOST, &address.host).header("X-Forwarded-Proto", &address.scheme)
            }
            None => method(&self.client, url.to_owned()),
        }
    }
}

/// authentik's internal address, from which the API fetches the keys when only browsers reach the public
/// address. Requests there carry the public host and scheme, so that authentik answers as for browsers.
struct InternalAddress {
    /// Origin for browsers: scheme, host and port.
    public: String,
    /// Origin for the API.
    internal: String,
    /// Public host and port.
    host: String,
    /// Public scheme.
    scheme: String,
}

impl InternalAddress {
    /// Returns nothing if the keys have the issuer's origin, or another path than the issuer's keys.
    fn new(issuer: &str, jwks_url: &str) -> Option<Self> {
        let (issuer, jwks) = (Url::parse(issuer).ok()?, Url::parse(jwks_url).ok()?);
        let public = issuer.origin().ascii_serialization();
        let internal = jwks.origin().ascii_serialization();
        let has_issuers_path = jwks.path() == format!("{}/jwks/", issuer.path().trim_end_matches('/'));
        let (scheme, host) = public.split_once("://")?;
        let (scheme, host) = (scheme.to_owned(), host.to_owned());
        (has_issuers_path && public != internal).then_some(Self { public, internal, host, scheme })
    }
}
