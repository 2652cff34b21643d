//! Creates missing streams and buckets from the JSON files in `nats/`. Existing ones are never changed.

use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::HeaderMap;
use async_nats::client::RequestErrorKind;
use serde_json::{Value, json};

use crate::clock;
use crate::nats::Nats;

const INBOX: &str = include_str!("../../../nats/inbox.json");
const EVENTS: &str = include_str!("../../../nats/events.json");
const DEAD_LETTERS: &str = include_str!("../../../nats/dead-letters.json");
const META: &str = include_str!("../../../nats/meta.json");
const PROJECTION: &str = include_str!("../../../nats/projection.json");

/// The streams and the bucket that every installation needs. Buckets of projections are created on demand.
const TEMPLATES: [&str; 4] = [INBOX, EVENTS, DEAD_LETTERS, META];

/// JetStream's error code for a stream that does not exist.
const STREAM_NOT_FOUND: u64 = 10059;

/// JetStream's error code for a stream that exists with another configuration.
const STREAM_NAME_IN_USE: u64 = 10058;

/// How long a new stream of a cluster may take until it accepts messages, and how often to probe it.
const MAX_LISTEN_DELAY: Duration = Duration::from_secs(5);
const LISTEN_PROBE: Duration = Duration::from_millis(20);

/// Creates the missing streams and the meta bucket, with `replicas` copies each.
///
/// Several processes may run it concurrently. Returns one line for each existing setting that differs from `nats/`.
/// Differences are not corrected, because only an operator knows whether they are intended.
pub async fn provision(nats: &Nats, replicas: u8) -> anyhow::Result<Vec<String>> {
    let mut drift = vec![];
    for template in TEMPLATES {
        let mut config = wanted(template, nats, replicas)?;
        if template == EVENTS {
            config["metadata"] = json!({"epoch": clock::new_id().simple().to_string()});
        }
        drift.extend(ensure(nats, &config).await?);
    }
    Ok(drift)
}

/// The current state of a stream, or of the stream behind a bucket.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// Name of the stream.
    pub name: String,
    /// JetStream's answer to `STREAM.INFO` (`config`, `state`, `cluster`, `ts`). `None` if the stream is missing.
    pub info: Option<Value>,
    /// One line for each setting that differs from `nats/`.
    pub differences: Vec<String>,
}

/// The state of every stream that [`provision`] would create. Creates nothing.
pub async fn inspect(nats: &Nats, replicas: u8) -> anyhow::Result<Vec<Inspected>> {
    let mut inspected = vec![];
    for template in TEMPLATES {
        let wanted = wanted(template, nats, replicas)?;
        let name = wanted["name"].as_str().context("a stream has a name")?.to_owned();
        let info = info(nats, &name).await?;
        let differences =
            info.as_ref().map_or_else(Vec::new, |info| differences(&name, &wanted, &info["config"]));
        inspected.push(Inspected { name, info, differences });
    }
    Ok(inspected)
}

/// Creates the bucket of one generation of a projection if it is missing. Returns differences as [`provision`] does.
pub async fn ensure_projection_bucket(
    nats: &Nats,
    bucket: &str,
    replicas: u8,
) -> anyhow::Result<Vec<String>> {
    let mut config: Value = serde_json::from_str(PROJECTION).context("nats/projection.json")?;
    config["name"] = json!(format!("KV_{bucket}"));
    config["subjects"] = json!([format!("$KV.{bucket}.>")]);
    config["num_replicas"] = json!(replicas);
    ensure(nats, &config).await
}

/// Logs a warning for each difference that [`provision`] returned.
pub fn log_drift(drift: Vec<String>) {
    for difference in drift {
        tracing::warn!("{difference}; the setting was not changed: see nats/README.md");
    }
}

/// The configuration of a template, with its names in the namespace of this installation.
fn wanted(template: &str, nats: &Nats, replicas: u8) -> anyhow::Result<Value> {
    let upper = format!("{}_", nats.namespace.to_string().to_uppercase());
    let named = template
        .replace("\"AUTHENTIK_", &format!("\"{upper}"))
        .replace("\"authentik.", &format!("\"{}.", nats.namespace))
        .replace("KV_authentik_", &format!("KV_{}_", nats.namespace))
        .replace("$KV.authentik_", &format!("$KV.{}_", nats.namespace));
    let mut config: Value = serde_json::from_str(&named).context("a template in nats/ is not JSON")?;
    config["num_replicas"] = json!(replicas);
    Ok(config)
}

async fn ensure(nats: &Nats, wanted: &Value) -> anyhow::Result<Vec<String>> {
    let name = wanted["name"].as_str().context("a stream has a name")?;
    let Some(info) = info(nats, name).await? else {
        let created = api(nats, &format!("STREAM.CREATE.{name}"), wanted).await?;
        // Another process has created the stream since we looked.
        if error_code(&created).is_some_and(|code| code != STREAM_NAME_IN_USE) {
            anyhow::bail!("creating stream {name}: {}", created["error"]["description"]);
        }
        wait_until_it_listens(nats, wanted)
            .await
            .with_context(|| format!("waiting until the new stream {name} accepts messages"))?;
        tracing::info!("created stream {name}");
        return Ok(vec![]);
    };
    Ok(differences(name, wanted, &info["config"]))
}

/// Waits until a new stream accepts messages.
///
/// In a cluster, our node can learn late that the stream's leader subscribes to its subjects. Until then a publish is
/// answered with "no responders".
async fn wait_until_it_listens(nats: &Nats, wanted: &Value) -> anyhow::Result<()> {
    let filter = wanted["subjects"][0].as_str().context("a stream has a subject")?;
    let subject = filter.replace('>', "probe");
    // No stream has this name, so the message is refused and not stored. Any answer shows that the stream listens.
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Stream", "none");
    let begin = Instant::now();
    loop {
        let refused = nats.client.request_with_headers(subject.clone(), headers.clone(), vec![].into()).await;
        match refused {
            Err(error)
                if error.kind() == RequestErrorKind::NoResponders && begin.elapsed() < MAX_LISTEN_DELAY =>
            {
                tokio::time::sleep(LISTEN_PROBE).await;
            }
            answer => return answer.map(drop).context("no stream answers on its subject"),
        }
    }
}

/// JetStream's answer to `STREAM.INFO`. `None` if the stream does not exist.
async fn info(nats: &Nats, name: &str) -> anyhow::Result<Option<Value>> {
    let info = api(nats, &format!("STREAM.INFO.{name}"), &Value::Null).await?;
    match error_code(&info) {
        None => Ok(Some(info)),
        Some(STREAM_NOT_FOUND) => Ok(None),
        Some(_) => anyhow::bail!("reading stream {name}: {}", info["error"]["description"]),
    }
}

fn differences(name: &str, wanted: &Value, actual: &Value) -> Vec<String> {
    let settings = wanted.as_object().into_iter().flatten();
    let compared = settings.filter(|(setting, _)| !matches!(setting.as_str(), "metadata" | "description"));
    compared
        .filter(|(setting, wanted)| {
            // The server omits settings that are off.
            let off = matches!(wanted, Value::Bool(false)) || **wanted == json!(0);
            actual[setting.as_str()] != **wanted && !(off && actual[setting.as_str()].is_null())
        })
        .map(|(setting, wanted)| {
            format!("{name}: {setting} is {}, expected {wanted}", actual[setting.as_str()])
        })
        .collect()
}

/// Sends a request to the JetStream API. An error of JetStream is in the `error` field of the returned answer.
async fn api(nats: &Nats, subject: &str, request: &Value) -> anyhow::Result<Value> {
    let payload = if request.is_null() { vec![] } else { serde_json::to_vec(request)? };
    let answer = nats.client.request(format!("$JS.API.{subject}"), payload.into()).await;
    let answer =
        answer.with_context(|| format!("requesting {subject} from JetStream; is JetStream enabled?"))?;
    serde_json::from_slice(&answer.payload)
        .with_context(|| format!("parsing JetStream's answer to {subject}"))
}

fn error_code(answer: &Value) -> Option<u64> {
    answer.get("error")?.get("err_code")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_names_the_setting_and_both_values() {
        let wanted = json!({"name": "X", "max_age": 5, "allow_direct": true, "deny_delete": false});
        let actual = json!({"name": "X", "max_age": 7, "allow_direct": true});
        assert_eq!(differences("X", &wanted, &actual), ["X: max_age is 7, expected 5"]);
    }
}
