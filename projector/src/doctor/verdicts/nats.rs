//! Streams, storage, and `sync_interval`.

use runtime::provision::Inspected;
use serde_json::Value;

use super::super::finding::{Problem, Severity, Verdict, fault};
use super::super::http::HttpResult;

/// Percentage of a limit from which on its usage is a warning.
const FILLING: u64 = 75;

/// Percentage of a limit from which on its usage is a fault.
const FULL: u64 = 90;

/// Whether all streams and buckets exist with the configuration in `nats/`.
pub(crate) fn streams(inspected: &[Inspected]) -> Verdict {
    let missing = inspected.iter().filter(|stream| stream.info.is_none()).map(|stream| {
        fault(
            format!("{} is missing", stream.name),
            "start a projector with this NATS_NAMESPACE: it creates missing streams and buckets",
        )
    });
    let different = inspected.iter().flat_map(|stream| {
        stream.differences.iter().map(|difference| {
            let fix = format!(
                "set it to the value in nats/ with `nats stream edit {}`; for num_replicas, set NATS_REPLICAS to the \
                 intended number",
                stream.name
            );
            fault(difference.clone(), fix)
        })
    });
    Verdict::of(missing.chain(different).collect(), "all exist as configured in nats/")
}

/// The usage of a limited resource.
pub(crate) struct Usage {
    /// The resource, as text.
    pub(crate) of: String,
    /// The used amount, in bytes or messages.
    pub(crate) used: u64,
    /// The limit, in the same unit.
    pub(crate) limit: u64,
}

/// The usage of each limit of the streams.
pub(crate) fn stream_usages(inspected: &[Inspected]) -> Vec<Usage> {
    let mut usages = vec![];
    for stream in inspected {
        let Some(info) = &stream.info else { continue };
        for (limit, used, unit) in [("max_bytes", "bytes", "bytes"), ("max_msgs", "messages", "messages")] {
            // Skips the limit -1, which means "no limit".
            if let (Some(limit), Some(used)) = (info["config"][limit].as_u64(), info["state"][used].as_u64())
            {
                usages.push(Usage { of: format!("{} ({unit})", stream.name), used, limit });
            }
        }
    }
    usages
}

/// The storage usage of a server, from its monitoring endpoint.
pub(crate) fn server_usage(varz: &Value) -> Option<Usage> {
    let (used, limit) = (&varz["jetstream"]["stats"]["storage"], &varz["jetstream"]["config"]["max_storage"]);
    Some(Usage {
        of: format!("the storage of {}", server_name(varz)),
        used: used.as_u64()?,
        limit: limit.as_u64()?,
    })
}

/// Whether every limit leaves free space. A full stream or server refuses messages, and webhooks get 503.
pub(crate) fn storage(usages: &[Usage]) -> Verdict {
    let problems = usages.iter().filter_map(|usage| {
        let percent = usage.used.saturating_mul(100).checked_div(usage.limit)?;
        let severity = match percent {
            0..FILLING => return None,
            FILLING..FULL => Severity::Warning,
            _ => Severity::Fault,
        };
        Some(Problem {
            severity,
            what: format!("{} is {percent} % full: {} of {}", usage.of, usage.used, usage.limit),
            fix:
                "raise the limit or free space (nats/README.md, No room): at the limit, webhooks are refused"
                    .to_owned(),
        })
    });
    let problems: Vec<_> = problems.collect();
    let is_limited = usages.iter().any(|usage| usage.limit > 0);
    Verdict::of(problems, if is_limited { "every limit has free space" } else { "no limits" })
}

/// Whether every server writes each message to disk before it acknowledges the message.
pub(crate) fn sync_interval(servers: &[HttpResult], n_servers: usize) -> Verdict {
    if servers.is_empty() {
        return Verdict::skipped(
            "needs the monitoring URL of each NATS server: set --nats-monitor http://<server>:8222",
        );
    }
    let mut problems = vec![];
    let mut n_silent = 0;
    for server in servers {
        let Some(varz) = server.as_ref().ok().map(|response| &response.body).filter(|body| body.is_object())
        else {
            n_silent += 1;
            continue;
        };
        let jetstream = &varz["jetstream"]["config"];
        if !jetstream.is_object() {
            problems.push(fault(
                format!("{} has no JetStream", server_name(varz)),
                "start it as nats/README.md says",
            ));
        } else if jetstream["sync_always"] != true {
            problems.push(delayed_sync(varz, jetstream["sync_interval"].as_u64().unwrap_or_default()));
        }
    }
    let n_checked = servers.len() - n_silent;
    match (problems.is_empty(), n_checked) {
        (true, 0) => Verdict::skipped("no NATS server answers at NATS_MONITOR (--nats-monitor)"),
        (true, n) if n < n_servers => Verdict::skipped(format!(
            "sync_interval is `always` on {n} of {n_servers} servers; add the others to --nats-monitor"
        )),
        _ => Verdict::of(problems, "always: every acknowledged message is on disk"),
    }
}

fn delayed_sync(varz: &Value, nanoseconds: u64) -> Problem {
    fault(
        format!(
            "{} writes to disk every {} s: a crash of its machine can lose webhooks that were answered 2xx",
            server_name(varz),
            nanoseconds / 1_000_000_000
        ),
        "set `sync_interval: always` in its `jetstream` block, as nats/nats-server.conf does, and restart it",
    )
}

fn server_name(varz: &Value) -> &str {
    varz["server_name"].as_str().unwrap_or("a NATS server")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::finding::{CheckResult, State};
    use super::super::super::http::HttpResponse;
    use super::*;

    fn varz(jetstream: &Value) -> HttpResponse {
        let body = json!({"server_name": "nats-1", "jetstream": jetstream});
        HttpResponse { status: 200, body, clock_ahead: None }
    }

    #[test]
    fn every_server_must_sync_each_message() {
        let always =
            || Ok(varz(&json!({"config": {"sync_always": true, "sync_interval": 120_000_000_000_u64}})));
        let later = Ok(varz(&json!({"config": {"sync_interval": 120_000_000_000_u64}})));
        assert!(sync_interval(&[always()], 1).is_ok());
        assert!(matches!(sync_interval(&[always()], 3), Verdict::Skipped(_)));
        assert!(matches!(sync_interval(&[Err("no answer".into())], 1), Verdict::Skipped(_)));
        let problems = sync_interval(&[always(), later, Ok(varz(&json!({})))], 3).problems();
        assert!(problems[0].what.contains("every 120 s") && problems[1].what.contains("no JetStream"));
    }

    #[test]
    fn a_limit_is_reported_before_it_is_reached() {
        let state = |used, limit| {
            CheckResult::new("storage", storage(&[Usage { of: "X".into(), used, limit }])).state
        };
        let states = [(0, 0), (74, 100), (75, 100), (89, 100), (90, 100), (5, 3)]
            .map(|(used, limit)| state(used, limit));
        assert_eq!(states[..4], [State::Ok, State::Ok, State::Warning, State::Warning]);
        assert_eq!(states[4..], [State::Fault, State::Fault]);
    }

    #[test]
    fn a_limit_of_minus_one_means_no_limit() {
        let info = json!({"config": {"max_bytes": 10, "max_msgs": -1}, "state": {"bytes": 9, "messages": 7}});
        let stream = Inspected { name: "X".into(), info: Some(info), differences: vec![] };
        let usages = stream_usages(&[stream]);
        assert_eq!((usages.len(), usages[0].used, usages[0].limit), (1, 9, 10));
    }
}
