//! The HTTP routes.

use std::sync::Arc;

use poem::endpoint::make;
use poem::http::{StatusCode, header};
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response, post};
use runtime::health::Health;
use runtime::http::operations;
use runtime::problem::Problem;

use crate::webhook::Receiver;

/// The path that authentik posts webhooks to.
pub const WEBHOOK_PATH: &str = "/authentik/webhook";

/// The webhook route and the routes that every program serves. Every error is answered with problem details.
pub(crate) fn routes(receiver: Receiver, health: &Health) -> impl Endpoint<Output = Response> + 'static {
    let receiver = Arc::new(receiver);
    let webhook = make(move |request| {
        let receiver = Arc::clone(&receiver);
        async move { receiver.answer(request).await }
    });
    operations(health).at(WEBHOOK_PATH, post(webhook)).around(answer_errors)
}

/// Answers routing errors with problem details.
async fn answer_errors<E: Endpoint>(routes: Arc<E>, request: Request) -> poem::Result<Response> {
    let allowed = if request.uri().path() == WEBHOOK_PATH { "POST" } else { "GET, HEAD" };
    let error = match routes.call(request).await {
        Ok(response) => return Ok(response.into_response()),
        Err(error) => error,
    };
    let status = error.status();
    let problem = match status {
        StatusCode::NOT_FOUND => {
            Problem::new(status, "Not found", format!("send webhooks to {WEBHOOK_PATH}"))
        }
        StatusCode::METHOD_NOT_ALLOWED => method_not_allowed(allowed),
        _ => Problem::new(status, "Request refused", status.canonical_reason().unwrap_or_default()),
    };
    Ok(problem.into_response())
}

fn method_not_allowed(allowed: &'static str) -> Problem {
    let detail = format!("this path accepts only {allowed}");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", detail)
        .with_header(header::ALLOW, allowed)
}
