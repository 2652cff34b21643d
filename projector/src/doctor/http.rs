//! HTTP requests to authentik, its OAuth provider, and the monitoring endpoints of NATS.

use std::time::Duration;

use anyhow::Context;
use domain::timestamp::Timestamp;
use reqwest::header::DATE;
use reqwest::{Client, RequestBuilder};
use runtime::clock;
use runtime::config::Secret;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::verdicts::clock::http_date;
use crate::directory::{self, http_problem};

/// How long to wait for a response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait when authentik itself first waits for an ingress, by default for up to 30 s.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(35);

/// A response, or the reason why there is none, without the URL, which could contain a password.
pub(super) type HttpResult = Result<HttpResponse, String>;

#[derive(Clone, Debug, Default)]
pub(super) struct HttpResponse {
    pub(super) status: u16,
    /// Null if the body is not JSON.
    pub(super) body: Value,
    /// How many seconds the server's clock is ahead of the local one, to within a second.
    pub(super) clock_ahead: Option<i64>,
}

impl HttpResponse {
    /// authentik's reason for an error status.
    pub(super) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or("no reason is given")
    }
}

/// authentik's REST API with one token.
pub(super) struct AuthentikApi {
    client: Client,
    base: String,
}

impl AuthentikApi {
    pub(super) fn new(url: &str, token: &Secret) -> anyhow::Result<Self> {
        Ok(Self { client: directory::client(token)?, base: format!("{url}/api/v3") })
    }

    pub(super) async fn get(&self, path: &str) -> HttpResult {
        send(self.client.get(format!("{}{path}", self.base))).await
    }

    /// Posts an empty JSON object.
    pub(super) async fn post_empty(&self, path: &str) -> HttpResult {
        let request = self.client.post(format!("{}{path}", self.base));
        send_within(WEBHOOK_TIMEOUT, request.json(&json!({}))).await
    }

    /// All objects of a list, from all of its pages. `path` must have a query.
    pub(super) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, String> {
        let mut objects = vec![];
        let mut page = 1;
        while page > 0 {
            let response = self.get(&format!("{path}&page_size=100&page={page}")).await?;
            if response.status != 200 {
                return Err(format!("status {}: {}", response.status, response.detail()));
            }
            let results = response.body["results"].as_array().ok_or("a response that is not a list")?;
            for result in results {
                let object = serde_json::from_value(result.clone());
                objects.push(object.map_err(|error| format!("a response in an unknown format: {error}"))?);
            }
            // `next` is 0 on the last page.
            page =
                response.body["pagination"]["next"].as_u64().filter(|next| *next > page).unwrap_or_default();
        }
        Ok(objects)
    }
}

pub(super) fn client_without_token() -> anyhow::Result<Client> {
    Client::builder().connect_timeout(Duration::from_secs(5)).build().context("creating an HTTP client")
}

pub(super) async fn send(request: RequestBuilder) -> HttpResult {
    send_within(TIMEOUT, request).await
}

async fn send_within(timeout: Duration, request: RequestBuilder) -> HttpResult {
    let response = request.timeout(timeout).send().await.map_err(|error| http_problem(&error).to_owned())?;
    let date = response.headers().get(DATE).and_then(|date| http_date(date.to_str().ok()?));
    let clock_ahead = date.map(|there: Timestamp| there.unix_seconds() - clock::now().unix_seconds());
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(|error| http_problem(&error).to_owned())?;
    Ok(HttpResponse { status, body: serde_json::from_slice(&body).unwrap_or_default(), clock_ahead })
}
