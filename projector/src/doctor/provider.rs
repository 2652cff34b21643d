//! The OAuth provider whose tokens the API takes.

use form_urlencoded::byte_serialize;
use reqwest::header::{CONTENT_TYPE, HOST};
use reqwest::{Client, RequestBuilder, Url};

use super::ask::{anonymous, ask};
use super::finding::Verdict;
use super::judge::oidc;
use super::{Examination, Settings};

const CHECKS: [&str; 3] = ["issuer", "signing-key", "client-id"];

pub(super) async fn examine(examination: &mut Examination<'_>, settings: &Settings) {
    let issuer = settings.issuer.as_deref().filter(|issuer| !issuer.is_empty());
    let (Some(issuer), Ok(client)) = (issuer, anonymous()) else {
        examination.skip(&CHECKS, "AUTHENTIK_ISSUER (--authentik-issuer) is not set");
        return;
    };
    let base = issuer.trim_end_matches('/');
    let jwks_url = settings.jwks_url.clone().filter(|url| !url.is_empty());
    let inside = jwks_url.as_deref().and_then(|url| Inside::to(issuer, url));
    let way = Way { client, inside };
    let discovery = ask(way.get(&format!("{base}/.well-known/openid-configuration"))).await;
    examination.note("issuer", oidc::issuer(issuer, &discovery));
    let discovered = |field: &str| discovery.as_ref().ok()?.body[field].as_str().map(str::to_owned);

    // As the API finds it. Where nothing is known of the provider, the same fault would be told twice.
    match jwks_url.or_else(|| discovered("jwks_uri").map(|_| format!("{base}/jwks/"))) {
        Some(url) => {
            let jwks = ask(way.get(&url)).await;
            examination.note("signing-key", oidc::signing_key(&jwks));
        }
        None => examination.skip(&["signing-key"], "the issuer is not known"),
    }
    let verdict = match discovered("token_endpoint") {
        Some(url) => {
            let client_id: String = byte_serialize(settings.client_id.as_bytes()).collect();
            let form = format!("grant_type=authorization_code&client_id={client_id}");
            let request = way.post(&url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
            oidc::client(&settings.client_id, &ask(request).await)
        }
        None => Verdict::skipped("the issuer is not known"),
    };
    examination.note("client-id", verdict);
}

/// How the provider is reached.
struct Way {
    client: Client,
    inside: Option<Inside>,
}

impl Way {
    fn get(&self, url: &str) -> RequestBuilder {
        self.sent(url, Client::get)
    }

    fn post(&self, url: &str) -> RequestBuilder {
        self.sent(url, Client::post)
    }

    fn sent(&self, url: &str, method: fn(&Client, String) -> RequestBuilder) -> RequestBuilder {
        match self.inside.as_ref().and_then(|inside| Some((inside, url.strip_prefix(&inside.public)?))) {
            Some((inside, path)) => {
                let request = method(&self.client, format!("{}{path}", inside.internal));
                request.header(HOST, &inside.host).header("X-Forwarded-Proto", &inside.scheme)
            }
            None => method(&self.client, url.to_owned()),
        }
    }
}

/// The way on which the API fetches the keys, where that is not the one of browsers: they may be the only ones who can reach
/// the public address. authentik answers there as it would answer them, when it is told what they call it.
struct Inside {
    /// Where browsers find authentik: scheme, host and port.
    public: String,
    /// Where it is found inside.
    internal: String,
    host: String,
    scheme: String,
}

impl Inside {
    /// Nothing where the keys are at the issuer itself, or not where that issuer would have them.
    fn to(issuer: &str, jwks_url: &str) -> Option<Self> {
        let (issuer, jwks) = (Url::parse(issuer).ok()?, Url::parse(jwks_url).ok()?);
        let public = issuer.origin().ascii_serialization();
        let internal = jwks.origin().ascii_serialization();
        let is_its_own = jwks.path() == format!("{}/jwks/", issuer.path().trim_end_matches('/'));
        let (scheme, host) = public.split_once("://")?;
        let (scheme, host) = (scheme.to_owned(), host.to_owned());
        (is_its_own && public != internal).then_some(Self { public, internal, host, scheme })
    }
}
