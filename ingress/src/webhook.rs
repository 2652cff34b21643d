//! `POST /authentik/webhook`: limit, authenticate, parse, store, answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use domain::hint::delivery_id_in;
use domain::key::Namespace;
use domain::timestamp::Timestamp;
use futures_util::TryStreamExt;
use poem::http::{HeaderMap, StatusCode, header};
use poem::{Body, IntoResponse, Request, Response};
use runtime::clock;
use runtime::problem::Problem;
use tokio::time::timeout;

use crate::delivery::{delivery_id, message};
use crate::inbox::{Inbox, NotStored, Receipt};
use crate::signature::{self, Key, Rejection};

/// Largest body in bytes. authentik sends a few kB; NATS accepts messages up to 1 MiB.
const MAX_BODY: usize = 256 * 1024;
/// How long reading a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Value of `Retry-After` in seconds.
const RETRY_AFTER: &str = "5";

/// Reads the time. The age of a signature is measured with it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Receives webhooks.
pub(crate) struct Receiver {
    pub(crate) secrets: Vec<Key>,
    pub(crate) allow_unsigned: bool,
    pub(crate) clock: Clock,
    pub(crate) namespace: Namespace,
    pub(crate) inbox: Inbox,
}

/// Why a webhook is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the body is larger than {} KiB", MAX_BODY / 1024)]
    TooLarge,
    #[error("the Content-Type is neither application/json nor text/json")]
    Unsupported,
    #[error("the body did not arrive within {} s", BODY_TIMEOUT.as_secs())]
    TooSlow,
    #[error("the connection ended before the body did")]
    Truncated,
    #[error("{0}")]
    Unauthorized(Rejection),
    #[error("the body is not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("the body is not JSON: it is not UTF-8")]
    NotText,
    #[error("{0}; send it again")]
    Unavailable(NotStored),
}

impl Receiver {
    /// Answers with 2xx only if the webhook is stored.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        let begin = Instant::now();
        let result = self.receive(request).await;
        metrics::histogram!("ingress_request_seconds").record(begin.elapsed().as_secs_f64());
        let outcome = match &result {
            Ok(Receipt::Stored) => "stored",
            Ok(Receipt::Duplicate) => "duplicate",
            Err(refusal) => refusal.outcome(),
        };
        metrics::counter!("ingress_webhooks_total", "outcome" => outcome).increment(1);
        match result {
            Ok(Receipt::Stored) => StatusCode::NO_CONTENT.into_response(),
            Ok(Receipt::Duplicate) => duplicate(),
            Err(refusal) => refusal.into_response(),
        }
    }

    async fn receive(&self, request: Request) -> Result<Receipt, Refusal> {
        let (parts, body) = request.into_parts();
        check_length(&parts.headers)?;
        check_content_type(&parts.headers)?;
        let body = timeout(BODY_TIMEOUT, read(body)).await.map_err(|_| Refusal::TooSlow)??;
        let is_signed = self.authenticate(&parts.headers, &body)?;
        let text = std::str::from_utf8(&body).map_err(|_| Refusal::NotText)?;
        let in_body = delivery_id_in(text).map_err(Refusal::NotJson)?;
        let id = delivery_id(in_body, &parts.headers, is_signed, clock::new_id);
        let message = message(&self.namespace, &id, &parts.headers, body);
        self.inbox.store(message).await.map_err(Refusal::Unavailable)
    }

    /// Returns whether the request is signed. An unsigned request is refused unless the settings allow it.
    fn authenticate(&self, headers: &HeaderMap, body: &[u8]) -> Result<bool, Refusal> {
        if self.allow_unsigned && (self.secrets.is_empty() || !signature::is_claimed(headers)) {
            return Ok(false);
        }
        match signature::verify(&self.secrets, headers, body, (self.clock)()) {
            Ok(()) => Ok(true),
            Err(Rejection::NotText) => Err(Refusal::NotText),
            Err(rejection) => Err(Refusal::Unauthorized(rejection)),
        }
    }
}

fn check_length(headers: &HeaderMap) -> Result<(), Refusal> {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY as u64) { Err(Refusal::TooLarge) } else { Ok(()) }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_json = ["application/json", "text/json"].iter().any(|json| media_type.eq_ignore_ascii_case(json));
    if is_json { Ok(()) } else { Err(Refusal::Unsupported) }
}

/// Reads up to [`MAX_BODY`] bytes, whatever `Content-Length` says.
async fn read(body: Body) -> Result<Bytes, Refusal> {
    let mut chunks = std::pin::pin!(body.into_bytes_stream());
    let mut read = Bytes::new();
    while let Some(chunk) = chunks.try_next().await.map_err(|_| Refusal::Truncated)? {
        if read.len() + chunk.len() > MAX_BODY {
            return Err(Refusal::TooLarge);
        }
        // Most bodies are one chunk, which needs no copy.
        if read.is_empty() {
            read = chunk;
        } else {
            let mut both = BytesMut::from(read);
            both.extend_from_slice(&chunk);
            read = both.freeze();
        }
    }
    Ok(read)
}

fn duplicate() -> Response {
    Response::builder().content_type("application/json").body("{\"status\":\"duplicate\"}")
}

impl Refusal {
    fn outcome(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::TooSlow => "timeout",
            Self::Unauthorized(_) => "unauthorized",
            Self::Truncated | Self::NotJson(_) | Self::NotText => "invalid",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn problem(&self) -> Problem {
        let (status, title) = match self {
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Body too large"),
            Self::Unsupported => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not a JSON media type"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "Body too slow"),
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "Signature refused"),
            Self::Truncated | Self::NotJson(_) | Self::NotText => (StatusCode::BAD_REQUEST, "Not JSON"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "Not stored"),
        };
        let problem = Problem::new(status, title, self.to_string());
        match self {
            Self::Unavailable(_) => problem.with_header(header::RETRY_AFTER, RETRY_AFTER),
            // The rest of the body is unread, so the connection cannot carry another request.
            Self::TooLarge | Self::Unsupported | Self::TooSlow => {
                problem.with_header(header::CONNECTION, "close")
            }
            Self::Unauthorized(_) | Self::Truncated | Self::NotJson(_) | Self::NotText => problem,
        }
    }

    fn into_response(self) -> Response {
        // The committer logs a failure to store once for the whole group.
        if !matches!(self, Self::Unavailable(_)) {
            tracing::info!(outcome = self.outcome(), "refused a webhook: {self}");
        }
        self.problem().into_response()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::commit::tests::unconnected;
    use crate::inbox;

    async fn receiver() -> Receiver {
        Receiver {
            secrets: vec![],
            allow_unsigned: true,
            clock: Arc::new(clock::now),
            namespace: Namespace::default(),
            inbox: inbox::channel(unconnected().await).0,
        }
    }

    async fn answer(content_type: &str, body: Body) -> StatusCode {
        let request = Request::builder().header(header::CONTENT_TYPE, content_type).body(body);
        receiver().await.answer(request).await.status()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_is_refused_after_the_timeout() {
        let begin = tokio::time::Instant::now();
        let body = Body::from_bytes_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(answer("application/json", body).await, StatusCode::REQUEST_TIMEOUT);
        assert_eq!(begin.elapsed().as_secs(), BODY_TIMEOUT.as_secs());
    }

    #[tokio::test]
    async fn an_endless_body_is_refused_at_the_size_limit() {
        let chunks = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1024])));
        let body = Body::from_bytes_stream(chunks);
        assert_eq!(answer("application/json", body).await, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_truncated_body_is_refused() {
        let chunks = [Ok(Bytes::from_static(b"{}")), Err(std::io::Error::other("reset"))];
        let body = Body::from_bytes_stream(stream::iter(chunks));
        assert_eq!(answer("application/json", body).await, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn parameters_and_case_of_the_content_type_are_ignored() {
        let check = |value: &str| {
            let headers = [(header::CONTENT_TYPE, value.parse().unwrap())].into_iter().collect();
            check_content_type(&headers).is_ok()
        };
        for good in
            ["application/json", "text/json", "Application/JSON; charset=utf-8", "application/json ;x"]
        {
            assert!(check(good), "{good}");
        }
        for bad in
            ["", "text/plain", "application/jsonp", "application/json, text/plain", "application/x+json"]
        {
            assert!(!check(bad), "{bad}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_err());
    }
}
