//! Streams, room, and what an acknowledgement means.

use runtime::provision::Inspected;
use serde_json::Value;

use super::super::ask::Asked;
use super::super::finding::{Problem, Severity, Verdict, fault};

/// From so many per cent on a limit is worth a warning, and from so many on it is a fault.
const FILLING: u64 = 75;
const FULL: u64 = 90;

/// Whether streams and buckets are there, and as in `nats/`.
pub(crate) fn streams(inspected: &[Inspected]) -> Verdict {
    let missing = inspected.iter().filter(|stream| stream.info.is_none()).map(|stream| {
        fault(
            format!("{} is missing", stream.name),
            "start a projector with this NATS_NAMESPACE: it makes what is missing",
        )
    });
    let different = inspected.iter().flat_map(|stream| {
        stream.differences.iter().map(|difference| {
            let fix = format!(
                "`nats stream edit {}` to what nats/ has; where it is num_replicas, set NATS_REPLICAS to what is meant",
                stream.name
            );
            fault(difference.clone(), fix)
        })
    });
    Verdict::of(missing.chain(different).collect(), "as in nats/")
}

/// So much of something that has a limit.
pub(crate) struct Room {
    /// Whose, in words.
    pub(crate) of: String,
    /// How much is used.
    pub(crate) used: u64,
    /// How much there may be.
    pub(crate) limit: u64,
}

/// The limits that streams have.
pub(crate) fn rooms_of_streams(inspected: &[Inspected]) -> Vec<Room> {
    let mut rooms = vec![];
    for stream in inspected {
        let Some(info) = &stream.info else { continue };
        for (limit, used, unit) in [("max_bytes", "bytes", "bytes"), ("max_msgs", "messages", "messages")] {
            // -1 is for none. A bucket keeps one value of each key: its number of messages says little.
            if let (Some(limit), Some(used)) = (info["config"][limit].as_u64(), info["state"][used].as_u64())
            {
                rooms.push(Room { of: format!("{} ({unit})", stream.name), used, limit });
            }
        }
    }
    rooms
}

/// The storage that a server may take, by its monitoring.
pub(crate) fn room_of_server(varz: &Value) -> Option<Room> {
    let (used, limit) = (&varz["jetstream"]["stats"]["storage"], &varz["jetstream"]["config"]["max_storage"]);
    Some(Room {
        of: format!("the storage of {}", server(varz)),
        used: used.as_u64()?,
        limit: limit.as_u64()?,
    })
}

/// Whether there is room: what is full refuses, and webhooks get 503.
pub(crate) fn storage(rooms: &[Room]) -> Verdict {
    let problems = rooms.iter().filter_map(|room| {
        let percent = room.used.saturating_mul(100).checked_div(room.limit)?;
        let severity = match percent {
            0..FILLING => return None,
            FILLING..FULL => Severity::Warning,
            _ => Severity::Fault,
        };
        Some(Problem {
            severity,
            what: format!("{} is {percent} % full: {} of {}", room.of, room.used, room.limit),
            fix: "raise the limit or make room (nats/README.md, No room): what is full refuses webhooks"
                .to_owned(),
        })
    });
    let problems: Vec<_> = problems.collect();
    let is_limited = rooms.iter().any(|room| room.limit > 0);
    Verdict::of(problems, if is_limited { "room in each limit" } else { "no limits" })
}

/// Whether an acknowledgement means "on disk", by the monitoring of each server.
pub(crate) fn sync(servers: &[Asked], n_nodes: usize) -> Verdict {
    if servers.is_empty() {
        return Verdict::skipped(
            "only the monitoring of a server tells: --nats-monitor http://<server>:8222, of each server",
        );
    }
    let mut problems = vec![];
    let mut n_silent = 0;
    for answer in servers {
        let Some(varz) = answer.as_ref().ok().map(|answer| &answer.body).filter(|varz| varz.is_object())
        else {
            n_silent += 1;
            continue;
        };
        let jetstream = &varz["jetstream"]["config"];
        if !jetstream.is_object() {
            problems
                .push(fault(format!("{} has no JetStream", server(varz)), "start it as nats/README.md says"));
        } else if jetstream["sync_always"] != true {
            problems.push(late(varz, jetstream["sync_interval"].as_u64().unwrap_or_default()));
        }
    }
    let n_told = servers.len() - n_silent;
    match (problems.is_empty(), n_told) {
        (true, 0) => Verdict::skipped("no monitoring of a NATS server answers at NATS_MONITOR"),
        (true, n) if n < n_nodes => {
            Verdict::skipped(format!("always, on {n} of {n_nodes} servers; the others were not asked"))
        }
        _ => Verdict::of(problems, "always: an acknowledgement means on disk"),
    }
}

fn late(varz: &Value, nanoseconds: u64) -> Problem {
    fault(
        format!(
            "{} writes to disk every {} s: a webhook that was answered 2xx can be lost with the machine",
            server(varz),
            nanoseconds / 1_000_000_000
        ),
        "set `sync_interval: always` in its `jetstream` block, as nats/nats-server.conf does, and restart it",
    )
}

fn server(varz: &Value) -> &str {
    varz["server_name"].as_str().unwrap_or("a NATS server")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::ask::Answer;
    use super::super::super::finding::{Checked, State};
    use super::*;

    fn varz(jetstream: &Value) -> Answer {
        let body = json!({"server_name": "nats-1", "jetstream": jetstream});
        Answer { status: 200, body, ahead: None }
    }

    #[test]
    fn every_server_must_write_each_message() {
        let always =
            || Ok(varz(&json!({"config": {"sync_always": true, "sync_interval": 120_000_000_000_u64}})));
        let later = Ok(varz(&json!({"config": {"sync_interval": 120_000_000_000_u64}})));
        assert!(sync(&[always()], 1).is_well());
        assert!(matches!(sync(&[always()], 3), Verdict::Skipped(_)));
        assert!(matches!(sync(&[Err("no answer".into())], 1), Verdict::Skipped(_)));
        let Verdict::Wrong(problems) = sync(&[always(), later, Ok(varz(&json!({})))], 3) else {
            panic!("well")
        };
        assert!(problems[0].what.contains("every 120 s") && problems[1].what.contains("no JetStream"));
    }

    #[test]
    fn a_limit_is_told_of_before_it_is_reached() {
        let state =
            |used, limit| Checked::new("storage", storage(&[Room { of: "X".into(), used, limit }])).state;
        let states = [(0, 0), (74, 100), (75, 100), (89, 100), (90, 100), (5, 3)]
            .map(|(used, limit)| state(used, limit));
        assert_eq!(states[..4], [State::Ok, State::Ok, State::Warning, State::Warning]);
        assert_eq!(states[4..], [State::Fault, State::Fault]);
    }

    #[test]
    fn a_limit_of_minus_one_is_none() {
        let info = json!({"config": {"max_bytes": 10, "max_msgs": -1}, "state": {"bytes": 9, "messages": 7}});
        let stream = Inspected { name: "X".into(), info: Some(info), differences: vec![] };
        let rooms = rooms_of_streams(&[stream]);
        assert_eq!((rooms.len(), rooms[0].used, rooms[0].limit), (1, 9, 10));
    }
}
