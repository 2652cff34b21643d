//! The front end's settings and files.

use std::path::Path;

use poem::endpoint::{StaticFilesEndpoint, make_sync};
use poem::http::{HeaderValue, header};
use poem::web::Json;
use poem::{Endpoint, EndpointExt, IntoResponse, Response};
use serde::Serialize;

use crate::config::Config;

/// What the front end needs to sign users in.
#[derive(Clone, Serialize)]
struct Settings {
    issuer: String,
    client_id: String,
    redirect_uri_path: &'static str,
    enrollment_url: Option<String>,
}

/// Serves `/config.json`, which is public and the same for everybody.
pub fn settings(config: &Config) -> impl Endpoint<Output = Response> + use<> {
    let settings = Settings {
        issuer: config.issuer.clone(),
        client_id: config.client_id.clone(),
        redirect_uri_path: "/auth/callback",
        enrollment_url: config.enrollment_url.clone().filter(|url| !url.is_empty()),
    };
    make_sync(move |_| Json(settings.clone()).into_response())
}

/// Serves the files. Any other path returns `index.html`, because the front end routes pages itself.
pub fn files(directory: &Path, issuer_origin: &str) -> impl Endpoint<Output = Response> + use<> {
    let policy = format!(
        "default-src 'self'; connect-src 'self' {issuer_origin}; img-src 'self' data:; \
         style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'; \
         frame-ancestors 'none'"
    );
    // The fallback is never used: an origin is always a valid header value.
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'self'"));
    let files = StaticFilesEndpoint::new(directory).index_file("index.html").fallback_to_index();
    files.around(move |files, request| {
        let policy = policy.clone();
        // The build puts a content hash into these names, so the files never change.
        let is_hashed = request.uri().path().starts_with("/assets/");
        async move {
            let mut response = files.call(request).await?;
            let is_page = response.content_type().is_some_and(|kind| kind.starts_with("text/html"));
            let cache =
                if is_hashed && !is_page { "public, max-age=31536000, immutable" } else { "no-cache" };
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
            Ok(response)
        }
    })
}
