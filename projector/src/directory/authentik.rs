//! The directory, read through authentik's REST API.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use domain::key::{GroupId, UserPk};
use domain::snapshot::User;
use domain::timestamp::Timestamp;
use reqwest::header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, StatusCode, redirect};
use runtime::config::Secret;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::wire::{Detail, EventAnswer, GroupAnswer, PageAnswer, UserAnswer};
use super::{Directory, DirectoryError, GroupAndMembers, LoggedEvent, Page};
use crate::config::Config;

/// How long one request may take. authentik answers in tens of milliseconds, but a huge group can take half a minute.
const TIMEOUT: Duration = Duration::from_secs(45);

/// The REST API of authentik 2026.2, with a read-only token.
#[derive(Clone, Debug)]
pub struct AuthentikDirectory {
    client: Client,
    base: String,
    attributes: BTreeSet<String>,
}

impl AuthentikDirectory {
    /// Takes URL and token from the configuration. Sends no request.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let (url, token) = config.authentik()?;
        let client = client(token).context("AUTHENTIK_TOKEN")?;
        Ok(Self { client, base: format!("{url}/api/v3"), attributes: config.user_attributes() })
    }

    /// A page of a list. A page past the end is empty: the list may have become shorter.
    async fn page<T: DeserializeOwned>(
        &self,
        page: u64,
        path: &str,
    ) -> Result<PageAnswer<T>, DirectoryError> {
        let is_past_end = |detail: &str| page > 1 && detail == "Invalid page.";
        let found = self.get_or(&format!("{path}&page_size=100&page={page}"), is_past_end).await?;
        Ok(found.unwrap_or_default())
    }

    async fn first_user(&self, filter: &str) -> Result<Option<User>, DirectoryError> {
        let path = format!("/core/users/?{filter}&include_roles=false");
        let page: Option<PageAnswer<UserAnswer>> = self.get(&path).await?;
        let first = page.and_then(|page| page.results.into_iter().next());
        Ok(first.map(|answer| answer.into_user(&self.attributes)))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, DirectoryError> {
        // A proxy or a wrong URL can answer 404 as well. Only authentik's own message proves a deletion.
        self.get_or(path, |detail| detail.ends_with(" matches the given query.")).await
    }

    async fn get_or<T: DeserializeOwned>(
        &self,
        path: &str,
        means_none: impl Fn(&str) -> bool,
    ) -> Result<Option<T>, DirectoryError> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await?;
        let status = answer.status();
        let is_json = answer
            .headers()
            .get(reqwest::header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/json"));
        let body = answer.bytes().await?;
        let problem = || format!("{path} was answered with {status}");
        match status {
            StatusCode::OK if is_json => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|error| DirectoryError::UnexpectedAnswer(format!("{path}: {error}"))),
            StatusCode::NOT_FOUND if is_json && means_none(&detail(&body)) => Ok(None),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Err(DirectoryError::Forbidden(detail(&body))),
            // authentik can answer an unhandled exception with an empty 405.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::METHOD_NOT_ALLOWED => {
                Err(DirectoryError::Unavailable(problem()))
            }
            status if status.is_server_error() => Err(DirectoryError::Unavailable(problem())),
            _ => Err(DirectoryError::UnexpectedAnswer(problem())),
        }
    }
}

/// An HTTP client that sends this token.
pub(crate) fn client(token: &Secret) -> anyhow::Result<Client> {
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .context("the token has characters that are not allowed in a header")?;
    bearer.set_sensitive(true);
    let headers = HeaderMap::from_iter([
        (AUTHORIZATION, bearer),
        (ACCEPT, HeaderValue::from_static("application/json")),
        // A deletion is recognised by the English text "No User matches the given query.".
        (ACCEPT_LANGUAGE, HeaderValue::from_static("en")),
    ]);
    Client::builder()
        .default_headers(headers)
        .timeout(TIMEOUT)
        .connect_timeout(Duration::from_secs(5))
        // authentik's API never redirects. Another server that redirects must not receive the token.
        .redirect(redirect::Policy::none())
        .build()
        .context("building the HTTP client")
}

impl Directory for AuthentikDirectory {
    async fn check(&self) -> Result<(), DirectoryError> {
        for path in ["/core/users/?page_size=1", "/core/groups/?page_size=1&include_users=false"] {
            self.get::<PageAnswer<serde::de::IgnoredAny>>(path).await?;
        }
        Ok(())
    }

    async fn user(&self, pk: UserPk) -> Result<Option<User>, DirectoryError> {
        let path = format!("/core/users/{pk}/?include_roles=false");
        let answer: Option<UserAnswer> = self.get(&path).await?;
        Ok(answer.map(|answer| answer.into_user(&self.attributes)))
    }

    async fn user_with_uuid(&self, uuid: Uuid) -> Result<Option<User>, DirectoryError> {
        Ok(self.first_user(&format!("uuid={uuid}")).await?.filter(|user| user.uuid == uuid))
    }

    async fn user_named(&self, username: &str) -> Result<Option<User>, DirectoryError> {
        let encoded: String = form_urlencoded::byte_serialize(username.as_bytes()).collect();
        let found = self.first_user(&format!("username={encoded}")).await?;
        Ok(found.filter(|user| user.username == username))
    }

    async fn users(&self, page: u64, changed_since: Option<Timestamp>) -> Result<Page<User>, DirectoryError> {
        let since = changed_since.map(|since| format!("&last_updated__gt={since}")).unwrap_or_default();
        let path = format!("/core/users/?ordering=pk&include_roles=false{since}");
        let answer: PageAnswer<UserAnswer> = self.page(page, &path).await?;
        Ok(answer.into_page(|answer| answer.into_user(&self.attributes)))
    }

    async fn groups(&self, page: u64) -> Result<Page<GroupAndMembers>, DirectoryError> {
        let answer: PageAnswer<GroupAnswer> =
            self.page(page, "/core/groups/?ordering=name&include_users=false").await?;
        Ok(answer.into_page(GroupAndMembers::from))
    }

    async fn events(&self, page: u64) -> Result<Page<LoggedEvent>, DirectoryError> {
        let answer: PageAnswer<EventAnswer> = self.page(page, "/events/events/?ordering=created").await?;
        Ok(answer.into_page(LoggedEvent::from))
    }

    async fn group(&self, id: GroupId) -> Result<Option<GroupAndMembers>, DirectoryError> {
        // The answer still lists the members' keys in `users`. Their objects would be megabytes.
        let path = format!("/core/groups/{id}/?include_users=false");
        Ok(self.get::<GroupAnswer>(&path).await?.map(GroupAndMembers::from))
    }
}

fn detail(body: &[u8]) -> String {
    let answer = serde_json::from_slice::<Detail>(body);
    answer.map_or_else(|_| "no reason given".to_owned(), |answer| answer.detail)
}

impl From<reqwest::Error> for DirectoryError {
    fn from(error: reqwest::Error) -> Self {
        Self::Unavailable(http_problem(&error).to_owned())
    }
}

/// Why there is no answer. The text of `reqwest::Error` has the URL, which contains personal data.
pub(crate) fn http_problem(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_builder() {
        "the URL is invalid"
    } else {
        "the connection was lost"
    }
}
