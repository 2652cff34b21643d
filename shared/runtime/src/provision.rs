//! Streams and buckets, from the JSON in `nats/`: made where they are missing, never changed where they are not.

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

/// What is made at a start.
const TEMPLATES: [&str; 4] = [INBOX, EVENTS, DEAD_LETTERS, META];

/// JetStream's error code for a stream that is not there.
const STREAM_NOT_FOUND: u64 = 10059;

/// JetStream's error code for a stream that is there with another configuration.
const STREAM_NAME_IN_USE: u64 = 10058;

/// How long a new stream of a cluster may take to listen, and how often that is tried.
const LISTENS_WITHIN: Duration = Duration::from_secs(5);
const LISTENS_LOOK: Duration = Duration::from_millis(20);

/// Makes what is missing, and reports what differs from `nats/`.
///
/// Safe to run in several processes at once. Returns one line for each setting that differs, which only an
/// operator can judge.
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

/// A stream, or the stream of a bucket, as it stands.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// Its name.
    pub name: String,
    /// What JetStream says of it (`config`, `state`, `cluster`, `ts`); nothing where it is missing.
    pub info: Option<Value>,
    /// One line for each setting that differs from `nats/`.
    pub differences: Vec<String>,
}

/// What [`provision`] would find; nothing is made.
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

/// Makes the bucket of one generation of a projection, where it is missing. Returns what differs, as [`provision`].
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

/// Tells an operator of the differences that [`provision`] found.
pub fn warn_of(drift: Vec<String>) {
    for difference in drift {
        tracing::warn!("{difference}; nothing was changed: see nats/README.md");
    }
}

/// The template with its names in the namespace of this installation.
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
        // Another process was faster: what it made is as good.
        if error_code(&created).is_some_and(|code| code != STREAM_NAME_IN_USE) {
            anyhow::bail!("making stream {name}: {}", created["error"]["description"]);
        }
        listens(nats, wanted)
            .await
            .with_context(|| format!("waiting until the new stream {name} listens"))?;
        tracing::info!("made stream {name}");
        return Ok(vec![]);
    };
    Ok(differences(name, wanted, &info["config"]))
}

/// Waits until a stream that was just made takes messages.
///
/// In a cluster our node may not have heard yet that its leader listens: a publish would find nobody.
async fn listens(nats: &Nats, wanted: &Value) -> anyhow::Result<()> {
    let filter = wanted["subjects"][0].as_str().context("a stream has a subject")?;
    let subject = filter.replace('>', "probe");
    // Refused, as no stream is called so: any answer will do, and nothing is stored.
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Stream", "none");
    let begin = Instant::now();
    loop {
        let refused = nats.client.request_with_headers(subject.clone(), headers.clone(), vec![].into()).await;
        match refused {
            Err(error)
                if error.kind() == RequestErrorKind::NoResponders && begin.elapsed() < LISTENS_WITHIN =>
            {
                tokio::time::sleep(LISTENS_LOOK).await;
            }
            answer => return answer.map(drop).context("nobody answers on its subject"),
        }
    }
}

/// What JetStream says of a stream; nothing where there is none.
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
            // The server leaves out what is off.
            let off = matches!(wanted, Value::Bool(false)) || **wanted == json!(0);
            actual[setting.as_str()] != **wanted && !(off && actual[setting.as_str()].is_null())
        })
        .map(|(setting, wanted)| {
            format!("{name}: {setting} is {}, expected {wanted}", actual[setting.as_str()])
        })
        .collect()
}

/// Asks the JetStream API; an error of JetStream is in the answer's `error`.
async fn api(nats: &Nats, subject: &str, request: &Value) -> anyhow::Result<Value> {
    let payload = if request.is_null() { vec![] } else { serde_json::to_vec(request)? };
    let answer = nats.client.request(format!("$JS.API.{subject}"), payload.into()).await;
    let answer = answer.with_context(|| format!("asking JetStream for {subject}; is JetStream on?"))?;
    serde_json::from_slice(&answer.payload).with_context(|| format!("JetStream's answer to {subject}"))
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
