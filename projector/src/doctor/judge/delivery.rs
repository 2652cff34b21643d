//! What became of authentik's test of its transport.

use super::super::ask::{Answer, Asked};
use super::super::finding::Verdict;

/// Whether the test came into the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is there.
    Seen,
    /// It did not come.
    Missed,
    /// Nobody could look.
    Unknown,
}

/// By authentik's answer to the test, and what was seen of it.
///
/// An answer of the target that is an error, and none at all, come as 500 with a text in the words of Python's
/// `requests`; an expression that fails as an empty 405.
pub(crate) fn delivery(test: &Asked, arrival: &Arrival) -> Verdict {
    match test {
        Ok(Answer { status: 200..300, .. }) => match arrival {
            Arrival::Seen => Verdict::well("signed, accepted, and in the inbox"),
            Arrival::Unknown => {
                Verdict::skipped("authentik says it was accepted; without NATS nobody can look for it")
            }
            Arrival::Missed => Verdict::fault(
                "authentik says that its test was accepted, but it is not in the inbox",
                "the transport leads to something else, or to an ingress with another NATS_URL or NATS_NAMESPACE: \
                 compare them",
            ),
        },
        Ok(Answer { status: 500, body, .. }) => refused(body.as_str().unwrap_or_default()),
        Ok(Answer { status: 405, .. }) => Verdict::fault(
            "a webhook mapping fails in authentik: its server process has no EVENTS_WEBHOOK_SECRET, or one that is \
             not whsec_ and Base64",
            "set EVENTS_WEBHOOK_SECRET in the environment of authentik's server, which sends tests, and of its \
             worker, which sends events",
        ),
        Ok(answer) if answer.status == 403 => Verdict::skipped(format!(
            "the administrator's token may not test a transport: {}",
            answer.detail()
        )),
        Ok(answer) => Verdict::skipped(format!("authentik answers a test with status {}", answer.status)),
        Err(problem) => Verdict::skipped(format!("authentik does not answer a test: {problem}")),
    }
}

/// `reason` names the transport's address, so it is not shown.
fn refused(reason: &str) -> Verdict {
    let status = reason.split(' ').next().and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(401) => Verdict::fault(
            "the ingress refuses authentik's signature (401): the webhook secrets are not the same",
            "set EVENTS_WEBHOOK_SECRET of authentik's server and worker to one of the ingress's WEBHOOK_SECRETS",
        ),
        Some(503) => Verdict::fault(
            "the ingress cannot store webhooks (503)",
            "see its /readyz and its log: NATS is away, has no streams, or has no room",
        ),
        Some(status) => Verdict::fault(
            format!("authentik's test is answered with status {status}"),
            "the transport's webhook URL does not lead to an ingress: http://<ingress>:8080/authentik/webhook",
        ),
        None => Verdict::fault(
            format!("authentik cannot reach the ingress: {}", unreachable(reason)),
            "check the transport's webhook URL from authentik's own machine or container, and that an ingress runs",
        ),
    }
}

fn unreachable(reason: &str) -> &'static str {
    let says = |part: &str| reason.contains(part);
    if says("timed out") {
        "it does not answer in time"
    } else if says("resolve") || says("Name or service not known") {
        "its name is not known there"
    } else if says("SSL") || says("certificate") {
        "its certificate is not trusted there"
    } else {
        "no connection"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn what(status: u16, body: Value) -> String {
        match delivery(&Ok(Answer { status, body, ahead: None }), &Arrival::Missed) {
            Verdict::Wrong(problems) => problems[0].what.clone(),
            Verdict::Well(said) | Verdict::Skipped(said) => said,
        }
    }

    #[test]
    fn each_failure_is_named_and_no_address_is_shown() {
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
            (500, json!("NameResolutionError: Failed to resolve 'ingress'"), "name is not known"),
            (405, Value::Null, "EVENTS_WEBHOOK_SECRET"),
            (200, json!({"messages": ["204", ""]}), "not in the inbox"),
        ] {
            let what = what(status, body);
            assert!(what.contains(expected) && !what.contains("hush"), "{what}");
        }
    }
}
