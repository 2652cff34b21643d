//! Asks over HTTP: authentik, its OAuth provider, and the monitoring of NATS.

use std::time::Duration;

use anyhow::Context;
use domain::timestamp::Timestamp;
use reqwest::header::DATE;
use reqwest::{Client, RequestBuilder};
use runtime::clock;
use runtime::config::Secret;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::judge::clock::http_date;
use crate::directory::{self, http_problem};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long one may take for which authentik waits for an ingress itself, for 30 s by default.
const PATIENCE: Duration = Duration::from_secs(35);

/// An answer, or why there was none. Never names an address: one can have a password in it.
pub(super) type Asked = Result<Answer, String>;

/// What was answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Null where it was not JSON.
    pub(super) body: Value,
    /// By how many seconds the clock there is ahead of ours, give or take one.
    pub(super) ahead: Option<i64>,
}

impl Answer {
    /// authentik's reason for a refusal.
    pub(super) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or("no reason is given")
    }
}

/// authentik's REST API, with one token.
pub(super) struct Authentik {
    client: Client,
    base: String,
}

impl Authentik {
    pub(super) fn new(url: &str, token: &Secret) -> anyhow::Result<Self> {
        Ok(Self { client: directory::client(token)?, base: format!("{url}/api/v3") })
    }

    pub(super) async fn get(&self, path: &str) -> Asked {
        ask(self.client.get(format!("{}{path}", self.base))).await
    }

    /// Posts an object without members.
    pub(super) async fn post_nothing(&self, path: &str) -> Asked {
        let request = self.client.post(format!("{}{path}", self.base));
        ask_within(PATIENCE, request.json(&json!({}))).await
    }

    /// Every object of a list whose path ends in a query. The error says what was answered instead.
    pub(super) async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, String> {
        let mut objects = vec![];
        let mut page = 1;
        while page > 0 {
            let answer = self.get(&format!("{path}&page_size=100&page={page}")).await?;
            if answer.status != 200 {
                return Err(format!("status {}: {}", answer.status, answer.detail()));
            }
            let results = answer.body["results"].as_array().ok_or("an answer that is no list")?;
            for result in results {
                let object = serde_json::from_value(result.clone());
                objects.push(object.map_err(|error| format!("an answer of another shape: {error}"))?);
            }
            // 0 after the last page.
            page = answer.body["pagination"]["next"].as_u64().filter(|next| *next > page).unwrap_or_default();
        }
        Ok(objects)
    }
}

/// For what needs no token.
pub(super) fn anonymous() -> anyhow::Result<Client> {
    Client::builder().connect_timeout(Duration::from_secs(5)).build().context("making an HTTP client")
}

pub(super) async fn ask(request: RequestBuilder) -> Asked {
    ask_within(TIMEOUT, request).await
}

async fn ask_within(timeout: Duration, request: RequestBuilder) -> Asked {
    let answer = request.timeout(timeout).send().await.map_err(|error| http_problem(&error).to_owned())?;
    let ahead = answer.headers().get(DATE).and_then(|date| http_date(date.to_str().ok()?));
    let ahead = ahead.map(|there: Timestamp| there.unix_seconds() - clock::now().unix_seconds());
    let status = answer.status().as_u16();
    let body = answer.bytes().await.map_err(|error| http_problem(&error).to_owned())?;
    Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or_default(), ahead })
}
