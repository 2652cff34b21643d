//! What is served where.

use std::sync::Arc;

use poem::endpoint::make;
use poem::http::{HeaderName, StatusCode, header};
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response, post};
use runtime::health::Health;
use runtime::http::operations;
use runtime::problem::Problem;

use crate::webhook::Receiver;

/// Where authentik posts to.
pub const WEBHOOK_PATH: &str = "/authentik/webhook";

/// The webhook, and what every program serves; errors are problem details throughout.
pub(crate) fn routes(receiver: Receiver, health: &Health) -> impl Endpoint<Output = Response> + 'static {
    let receiver = Arc::new(receiver);
    let webhook = make(move |request| {
        let receiver = Arc::clone(&receiver);
        async move { receiver.answer(request).await }
    });
    operations(health).at(WEBHOOK_PATH, post(webhook)).around(explain)
}

/// Gives the errors of routing a body.
async fn explain<E: Endpoint>(routes: Arc<E>, request: Request) -> poem::Result<Response> {
    let allowed = if request.uri().path() == WEBHOOK_PATH { "POST" } else { "GET, HEAD" };
    let error = match routes.call(request).await {
        Ok(response) => return Ok(response.into_response()),
        Err(error) => error,
    };
    let status = error.status();
    let problem = match status {
        StatusCode::NOT_FOUND => {
            Problem::new(status, "Not found", format!("webhooks are taken at {WEBHOOK_PATH}"))
        }
        StatusCode::METHOD_NOT_ALLOWED => with_allowed(allowed),
        _ => Problem::new(status, "Request refused", status.canonical_reason().unwrap_or_default()),
    };
    Ok(problem.into_response())
}

fn with_allowed(methods: &'static str) -> Problem {
    const ALLOW: HeaderName = header::ALLOW;
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "Method not allowed",
        format!("only {methods} is answered here"),
    )
    .with_header(ALLOW, methods)
}
