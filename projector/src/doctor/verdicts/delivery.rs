//! The outcome of authentik's test webhook.

use super::super::finding::Verdict;
use super::super::http::{HttpResponse, HttpResult};

/// Whether the test webhook arrived in the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Stored,
    Missing,
    /// The inbox could not be read.
    Unknown,
}

/// Whether the test webhook was delivered, by authentik's response to the test and its arrival in the inbox.
///
/// If the ingress answers with an error, or not at all, authentik responds 500 with an error text of Python's
/// `requests`. If a mapping's expression fails, authentik responds 405 with an empty body.
pub(crate) fn delivery(test: &HttpResult, arrival: &Arrival) -> Verdict {
    match test {
        Ok(HttpResponse { status: 200..300, .. }) => match arrival {
            Arrival::Stored => Verdict::ok("signed, accepted, and in the inbox"),
            Arrival::Unknown => Verdict::skipped(
                "authentik reports the test webhook as accepted, but the inbox cannot be read",
            ),
            Arrival::Missing => Verdict::fault(
                "authentik reports its test webhook as accepted, but it is not in the inbox",
                "check that the transport's webhook URL leads to an ingress, and that this ingress has the same NATS_URL \
                 and NATS_NAMESPACE as the projector",
            ),
        },
        Ok(HttpResponse { status: 500, body, .. }) => refused(body.as_str().unwrap_or_default()),
        Ok(HttpResponse { status: 405, .. }) => Verdict::fault(
            "a webhook mapping fails in authentik: EVENTS_WEBHOOK_SECRET is missing in its server process, or is not \
             whsec_ followed by Base64",
            "set EVENTS_WEBHOOK_SECRET in the environment of authentik's server, which sends the test, and of its \
             worker, which sends events",
        ),
        Ok(response) if response.status == 403 => Verdict::skipped(format!(
            "the administrator's token has no right to test a transport: {}",
            response.detail()
        )),
        Ok(response) => {
            Verdict::skipped(format!("authentik answers the test with status {}", response.status))
        }
        Err(problem) => Verdict::skipped(format!("authentik does not answer the test: {problem}")),
    }
}

/// The verdict for an error text of authentik, which no finding quotes: it contains the transport's URL.
fn refused(reason: &str) -> Verdict {
    let status = reason.split(' ').next().and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(401) => Verdict::fault(
            "the ingress refuses authentik's signature (401): the webhook secrets are not the same",
            "set EVENTS_WEBHOOK_SECRET in authentik's server and worker to one of the ingress's WEBHOOK_SECRETS",
        ),
        Some(503) => Verdict::fault(
            "the ingress cannot store webhooks (503)",
            "check the ingress's /readyz and log: NATS is unavailable, has no streams, or has no free storage",
        ),
        Some(status) => Verdict::fault(
            format!("the transport's webhook URL answers authentik's test with status {status}"),
            "set the transport's webhook URL to an ingress: http://<ingress>:8080/authentik/webhook",
        ),
        None => Verdict::fault(
            format!("authentik cannot reach the ingress: {}", unreachable(reason)),
            "check that an ingress runs, and that authentik's machine or container reaches the transport's webhook URL",
        ),
    }
}

fn unreachable(reason: &str) -> &'static str {
    let says = |part: &str| reason.contains(part);
    if says("timed out") {
        "it does not answer in time"
    } else if says("resolve") || says("Name or service not known") {
        "authentik cannot resolve its name"
    } else if says("SSL") || says("certificate") {
        "authentik does not trust its certificate"
    } else {
        "no connection"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn what(status: u16, body: Value) -> String {
        match delivery(&Ok(HttpResponse { status, body, clock_ahead: None }), &Arrival::Missing) {
            Verdict::Problems(problems) => problems[0].what.clone(),
            Verdict::Ok(text) | Verdict::Skipped(text) => text,
        }
    }

    #[test]
    fn each_failure_is_named_without_the_url() {
        let url = "http://me:hush@ingress:8080/authentik/webhook";
        for (status, body, expected) in [
            (
                500,
                json!(format!("401 Client Error: Unauthorized for url: {url}")),
                "secrets are not the same",
            ),
            (500, json!(format!("503 Server Error: Service Unavailable for url: {url}")), "cannot store"),
            (500, json!(format!("404 Client Error: Not Found for url: {url}")), "status 404"),
            (
                500,
                json!(format!(
                    "HTTPConnectionPool: Max retries exceeded with url: {url} (NewConnectionError)"
                )),
                "no connection",
            ),
            (500, json!("HTTPConnectionPool: Read timed out. (read timeout=30)"), "in time"),
            (500, json!("NameResolutionError: Failed to resolve 'ingress'"), "cannot resolve its name"),
            (405, Value::Null, "EVENTS_WEBHOOK_SECRET"),
            (200, json!({"messages": ["204", ""]}), "not in the inbox"),
        ] {
            let what = what(status, body);
            assert!(what.contains(expected) && !what.contains("hush"), "{what}");
        }
    }
}
